/* SPDX-License-Identifier: MIT */
/* See steps.h. */
#include <windows/imports.h>
#include <windows/steps.h>

#include <os/win32/nt.h>
#include <stdio.h>

/* A place that calls go through. */
struct step_call {
	import_function *to; /* steps_x86_64.S reads it */
	const char *name;
	bool is_step;
};
static struct step_call calls[256];
static unsigned call_count;

/* steps_x86_64.S: */
struct steps *orders_exchange(struct steps *orders); /* of this thread; returns those that it had */
import_function step_through;
void step_before(const struct step_call *call);
void step_after(const struct step_call *call);

/* movabs $call, %r11; movabs $step_through, %rax; jmp *%rax */
#define STUB_SIZE 32u
static unsigned char *stubs;

static void write_stub(unsigned char *stub, const struct step_call *call)
{
	import_function *to = step_through;

	memcpy(stub, (const unsigned char[]){0x49, 0xbb}, 2);
	memcpy(stub + 2, &call, 8);
	memcpy(stub + 10, (const unsigned char[]){0x48, 0xb8}, 2);
	memcpy(stub + 12, &to, 8);
	memcpy(stub + 20, (const unsigned char[]){0xff, 0xe0}, 2);
}

static void lead_through(const char *name, import_function **place, bool is_step)
{
	unsigned char *stub = stubs + call_count * STUB_SIZE;
	struct step_call *call = &calls[call_count];
	DWORD protection;

	if (!*place)
		return;
	CHECK(++call_count <= CC_COUNT(calls));
	*call = (struct step_call){*place, name, is_step};
	write_stub(stub, call);
	CHECK(VirtualProtect(place, sizeof(*place), PAGE_READWRITE, &protection));
	memcpy(place, &stub, sizeof(*place));
	VirtualProtect(place, sizeof(*place), protection, &protection);
}

static bool is_among(const char *function, const char *const *functions)
{
	for (; *functions; functions++)
		if (strcmp(function, *functions) == 0)
			return true;
	return false;
}

/* Those that change what others see, or wait for them, are steps. Of the rest nothing is left when the process has died. */
static void take_import(const char *library, const char *function, import_function **place, void *unused)
{
	static const char *const steps[] = {
		"CreateEventW",
		"CreateFileMappingW",
		"CreateFileW",
		"CreateMutexW",
		"FlushViewOfFile",
		"ReleaseMutex",
		"ResetEvent",
		"SetEndOfFile",
		"SetEvent",
		"VirtualAlloc",
		"WaitOnAddress",
		"WaitForSingleObject",
		"WaitForMultipleObjects",
		"WriteFile",
		NULL,
	};
	/* They only read what is the thread's, or find out where exceptions go. */
	static const char *const no_calls[] = {"GetCurrentThreadId",
					       "GetLastError",
					       "RtlCaptureContext",
					       "RtlUnwindEx",
					       "SetLastError",
					       "TlsGetValue",
					       NULL};

	(void)unused;
	if (_stricmp(library, "msvcrt.dll") != 0 && !is_among(function, no_calls))
		lead_through(function, place, is_among(function, steps));
}

/* What the library finds by name. */
static void take_found(void)
{
	struct nt *nt = (struct nt *)(uintptr_t)nt_functions();

	lead_through("NtCreateSection", (import_function **)(void *)&nt->create_section, true);
	lead_through("NtExtendSection", (import_function **)(void *)&nt->extend_section, true);
	lead_through("NtQueryMutant", (import_function **)(void *)&nt->query_mutex, false);
}

/* Is it the step that was ordered? */
static bool is_here(struct steps *steps, const struct step_call *call, bool after)
{
	uint32_t number = atomic_fetch_add(&steps->taken, 1) + 1;

	if (atomic_load(&steps->stopped))
		return false;
	return steps->number ? number == steps->number : strcmp(steps->call, call->name) == 0 && steps->after == after;
}

static void step(const struct step_call *call, bool after)
{
	DWORD error = GetLastError();
	struct steps *steps = orders_exchange(NULL); /* our own calls are no steps */

	if (!after && !steps->calls++)
		steps->first = call->name;
	if (call->is_step && is_here(steps, call, after)) {
		snprintf(steps->place, sizeof(steps->place), "%s %s", after ? "after" : "before", call->name);
		atomic_store(&steps->stopped, 1);
		test_await(&steps->go_on, 1);
		atomic_store(&steps->go_on, 0);
	}
	(void)orders_exchange(steps);
	SetLastError(error);
}

void step_before(const struct step_call *call)
{
	step(call, false);
}

void step_after(const struct step_call *call)
{
	step(call, true);
}

_Static_assert(offsetof(struct steps, top) == 0, "steps_x86_64.S knows it");

void steps_begin(struct steps *steps)
{
	static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
	BOOL first = FALSE;

	InitOnceBeginInitialize(&once, 0, &first, NULL);
	if (first) {
		stubs = VirtualAlloc(NULL, CC_COUNT(calls) * STUB_SIZE, MEM_RESERVE | MEM_COMMIT,
				     PAGE_EXECUTE_READWRITE);
		CHECK(stubs);
		take_found();
		imports_each(take_import, NULL);
		InitOnceComplete(&once, 0, NULL);
	}
	steps->top = steps->returns;
	(void)orders_exchange(steps);
}

void steps_end(void)
{
	(void)orders_exchange(NULL);
}
