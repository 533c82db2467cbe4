/* SPDX-License-Identifier: MIT */
/* The functions of the system that this program calls, as its import table has them: places that can be made to lead elsewhere. */
#ifndef TESTS_WINDOWS_IMPORTS_H
#define TESTS_WINDOWS_IMPORTS_H

/* Any function; to be called as what it is. */
typedef void import_function(void);

/* Call `visit` for each: the library's and the function's name, and the place that calls go through. */
void imports_each(void (*visit)(const char *library, const char *function, import_function **place, void *argument),
		  void *argument);

/* Let calls of `function` go to `instead` from now on. Returns where they went before; NULL: the program never calls it. */
import_function *imports_redirect(const char *function, import_function *instead);

#endif
