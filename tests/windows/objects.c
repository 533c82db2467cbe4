/* SPDX-License-Identifier: MIT */
/* Prints the kernel objects of stoa, a line each. */
#include <windows/objects_each.h>

#include <stdio.h>

static void print(const wchar_t *kind, const wchar_t *name, void *unused)
{
	(void)unused;
	printf("%ls %ls\n", kind, name);
}

int main(void)
{
	objects_each(print, NULL);
	return 0;
}
