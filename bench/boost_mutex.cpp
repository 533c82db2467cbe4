// SPDX-License-Identifier: MIT
// Blocks of the contended-mutex case with Boost.Interprocess, for `stoa bench`: a program of its own, as the bench is C. Uses
// Boost's headers and POSIX. Arguments: PROCESSES INSIDE OUTSIDE. Each 32-bit number of microseconds that arrives on
// standard input, a socket as standard output is, is answered with a double: millions of locks a second over all processes, -1 when counts
// were lost. Ends when the socket closes.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <new>

#include <boost/interprocess/anonymous_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ipc = boost::interprocess;

namespace {

constexpr unsigned members_max = 16;

struct member {
	alignas(64) std::uint64_t count;
	std::uint64_t nanoseconds;
	ipc::interprocess_semaphore begin{0};
};

struct arena {
	alignas(64) ipc::interprocess_mutex mutex;
	alignas(64) std::uint64_t guarded;
	alignas(64) std::atomic<std::uint32_t> ready;
	std::atomic<std::uint32_t> stop;
	ipc::interprocess_semaphore done{0};
	member members[members_max];
};

struct contest {
	arena *shared;
	unsigned processes;
	unsigned inside;
	unsigned outside;
};

std::uint64_t now()
{
	timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return std::uint64_t(time.tv_sec) * 1000000000u + std::uint64_t(time.tv_nsec);
}

void work(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		std::atomic_signal_fence(std::memory_order_seq_cst);
}

/* As `stoa bench` places its own: one CPU of those allowed after the other. */
void pin(unsigned place)
{
	cpu_set_t allowed, one;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) || !CPU_COUNT(&allowed))
		return;
	place %= unsigned(CPU_COUNT(&allowed));
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && place-- == 0) {
			CPU_SET(cpu, &one);
			break;
		}
	}
	sched_setaffinity(0, sizeof(one), &one);
}

void contend(const contest &contest, member &self)
{
	arena &shared = *contest.shared;
	std::uint64_t count = 0;

	shared.ready++;
	while (shared.ready.load(std::memory_order_relaxed) < contest.processes)
		sched_yield();
	std::uint64_t start = now();
	for (; !shared.stop.load(std::memory_order_relaxed); count++) {
		shared.mutex.lock();
		shared.guarded++;
		work(contest.inside);
		shared.mutex.unlock();
		work(contest.outside);
	}
	self.nanoseconds = now() - start;
	self.count = count;
}

[[noreturn]] void serve(const contest &contest, unsigned place)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(place);
	for (;;) {
		contest.shared->members[place].begin.wait();
		contend(contest, contest.shared->members[place]);
		contest.shared->done.post();
	}
}

double block(const contest &contest, std::uint32_t microseconds)
{
	arena &shared = *contest.shared;
	std::uint64_t total = 0;
	double rate = 0;

	shared.guarded = 0;
	shared.ready = 0;
	shared.stop = 0;
	for (unsigned i = 0; i < contest.processes; i++)
		shared.members[i].begin.post();
	while (shared.ready.load(std::memory_order_relaxed) < contest.processes)
		usleep(50);
	usleep(microseconds);
	shared.stop = 1;
	for (unsigned i = 0; i < contest.processes; i++)
		shared.done.wait();
	for (unsigned i = 0; i < contest.processes; i++) {
		total += shared.members[i].count;
		rate += double(shared.members[i].count) * 1e3 / double(shared.members[i].nanoseconds);
	}
	return total == shared.guarded ? rate : -1;
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	ipc::mapped_region region(ipc::anonymous_shared_memory(sizeof(arena)));
	contest contest{new (region.get_address()) arena, unsigned(std::atoi(argv[1])), unsigned(std::atoi(argv[2])),
			unsigned(std::atoi(argv[3]))};
	if (contest.processes < 1 || contest.processes > members_max)
		return 2;
	pid_t children[members_max];
	for (unsigned i = 0; i < contest.processes; i++) {
		children[i] = fork();
		if (children[i] < 0)
			return 1;
		if (children[i] == 0)
			serve(contest, i);
	}
	std::uint32_t microseconds;
	while (recv(STDIN_FILENO, &microseconds, sizeof(microseconds), 0) == ssize_t(sizeof(microseconds))) {
		double rate = block(contest, microseconds);
		if (send(STDOUT_FILENO, &rate, sizeof(rate), MSG_NOSIGNAL) != ssize_t(sizeof(rate)))
			break;
	}
	for (unsigned i = 0; i < contest.processes; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], nullptr, 0);
	}
	return 0;
}
