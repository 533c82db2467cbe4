/* SPDX-License-Identifier: MIT */
/*
 * The handler for SIGBUS and SIGSEGV: whether a fault is ours is asked first, and what is not goes to whatever handled it before.
 *
 * It runs in the thread that touched, at the touch, with all signals held back that are not faults themselves: else one that
 * jumps away would leave a page half made by a thread that lives on. It uses the alternate stack only where the handler before it did.
 */
#include <os/linux/sys.h>
#include <os/trap.h>

#include <base/atomic.h>
#include <base/error.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const int numbers[] = {SIGBUS, SIGSEGV};
#define NUMBERS CC_COUNT(numbers)

static struct sigaction before[NUMBERS];
static bool (*_Atomic handler)(void *address, enum os_fault fault);
static struct os_lock lock;

static enum os_fault kind_of(const void *context)
{
#if defined(__x86_64__)
	const ucontext_t *user = context;

	/* Intel SDM, volume 3, 4.7: bit 1 of a page fault's error code. */
	return user->uc_mcontext.gregs[REG_ERR] & 2 ? OS_FAULT_WRITE : OS_FAULT_READ;
#else
	(void)context;
	return OS_FAULT_UNKNOWN;
#endif
}

/* As if we had never been there. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	const struct sigaction *action = &before[number == SIGBUS ? 0 : 1];
	struct sigaction standard;
	sigset_t mask;

	if (action->sa_flags & SA_SIGINFO || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN)) {
		sigset_t blocked = action->sa_mask;

		/* The mask that it asked for, over that of the touch. */
		for (int i = 1; i < NSIG; i++)
			if (sigismember(&((const ucontext_t *)context)->uc_sigmask, i) == 1)
				sigaddset(&blocked, i);
		if (!(action->sa_flags & SA_NODEFER))
			sigaddset(&blocked, number);
		sigprocmask(SIG_SETMASK, &blocked, &mask);
		if (action->sa_flags & SA_SIGINFO)
			action->sa_sigaction(number, info, context);
		else
			action->sa_handler(number);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return;
	}
	/* The touch is tried again, and ends the process. (A fault cannot be ignored.) */
	memset(&standard, 0, sizeof(standard));
	standard.sa_handler = SIG_DFL;
	sigaction(number, &standard, NULL);
	/* Sent by somebody, not by a touch: it does not come again by itself. */
	if (info->si_code <= 0)
		raise(number);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	bool (*handle)(void *address, enum os_fault fault) =
		load_acq(&handler); /* A1: pairs with R1 in os_fault_install() */
	int error = errno;

	if (info->si_code <= 0 || !handle || !handle(info->si_addr, kind_of(context)))
		pass_on(number, info, context);
	errno = error;
}

static int install(unsigned i)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	if (SYS(sigaction, numbers[i], NULL, &before[i]) < 0)
		return sys_failed("asking for the handler of signal %d", numbers[i]);
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_NODEFER | (before[i].sa_flags & SA_ONSTACK);
	sigfillset(&action.sa_mask);
	/* What a touch, or an assertion, can raise itself. */
	static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
	for (size_t k = 0; k < CC_COUNT(faults); k++)
		sigdelset(&action.sa_mask, faults[k]);
	if (SYS(sigaction, numbers[i], &action, NULL) < 0)
		return sys_failed("installing a handler of signal %d", numbers[i]);
	return 0;
}

int os_fault_install(bool (*handle)(void *address, enum os_fault fault))
{
	int rc = 0;

	os_lock(&lock);
	if (!load_rlx(&handler)) {
		for (unsigned i = 0; i < NUMBERS && !rc; i++) {
			rc = install(i);
			if (rc && i > 0) /* else the next try would take us for whoever was there before */
				(void)sigaction(numbers[0], &before[0], NULL);
		}
		if (!rc)
			store_rel(&handler, handle); /* R1: `before`; pairs with A1 in on_fault() */
	}
	os_unlock(&lock);
	return rc;
}

void os_fault_raise(uint32_t thread, const void *address)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE; /* what the kernel lets a thread send to another */
	info.si_value.sival_ptr = (void *)(uintptr_t)address;
	(void)SYS(syscall, SYS_rt_tgsigqueueinfo, getpid(), (pid_t)thread, SIGBUS, &info);
}

bool os_fault_installed(void)
{
	return load_rlx(&handler) != NULL;
}
