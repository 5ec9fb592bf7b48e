/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gw_worker.h"

static __thread char sentence[512];

int
gw_fail(int number, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	return -number;
}

int
gw_fail_in(int result, const char *format, ...)
{
	char words[256], whole[sizeof(sentence)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	snprintf(whole, sizeof(whole), "%s: %.250s", words, sentence);
	strcpy(sentence, whole);
	return result;
}

const char *
gw_worker_error(void)
{
	return sentence;
}
