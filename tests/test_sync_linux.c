/* SPDX-License-Identifier: MIT */
/* Mutexes beside what Linux alone has: stopped processes, fork, cancelled threads, and the robust mutexes of its C library. */
#include <sync/board.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void *lock_and_end(void *argument)
{
	CHECK_RC(stoa_mutex_lock(argument, &board->mutex, STOA_TRY), 0);
	return NULL;
}

static void hold_until_done(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), 0);
	atomic_store(&board->ready, 1);
	while (!atomic_load(&board->done))
		usleep(1000);
	board->plain++;
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
}

TEST(a_stopped_owner_is_alive)
{
	pid_t owner;
	int status;

	set_up();
	owner = test_role(hold_until_done, NULL);
	test_await(&board->ready, 1);
	CHECK_SYS(kill(owner, SIGSTOP));
	CHECK_EQ(waitpid(owner, &status, WUNTRACED), owner);
	CHECK(WIFSTOPPED(status));
	atomic_store(&board->done, 1);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, stoa_deadline_in(SECOND / 3)), STOA_TIMED_OUT);
	CHECK_EQ(board->plain, 0);
	CHECK_SYS(kill(owner, SIGCONT));
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), 0);
	CHECK_EQ(board->plain, 1);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_EQ(test_join(owner), 0);
	tear_down();
}

static void fork_child(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), -STOA_ENOTOWNER);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), STOA_TIMED_OUT);
	atomic_store(&board->ready, 1);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, stoa_deadline_in(15 * SECOND)), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
}

TEST(a_forked_child_is_a_member_of_its_own)
{
	pid_t child;

	set_up();
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	child = test_role(fork_child, NULL);
	test_await(&board->ready, 1);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_EQ(test_join(child), 0);
	tear_down();
}

static void *cancelled(void *argument)
{
	(void)argument;
	CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL), 0);
	CHECK_EQ(pthread_cancel(pthread_self()), 0);
	CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL), 0);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	return NULL;
}

TEST(a_cancelled_thread_leaves_no_lock_behind)
{
	pthread_t thread;

	set_up();
	CHECK_EQ(pthread_create(&thread, NULL, cancelled, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(pthread_create(&thread, NULL, lock_and_end, segment), 0); /* another thread can still enrol */
	CHECK_EQ(pthread_join(thread, NULL), 0);
	tear_down();
}

enum parting { CLOSES_ITSELF, ANOTHER_CLOSES, ANOTHER_CLOSES_AND_IT_COMES_BY };

struct neighbours {
	pthread_mutex_t before, after, later; /* locked before and after enrolment, and after the parting */
	enum parting parting;
};

static void *close_the_last_handle(void *argument)
{
	stoa_segment_close(argument);
	return NULL;
}

static void part_among_mutexes(void *argument)
{
	const struct stoa_segment_options options = {.commit = 4096};
	struct neighbours *neighbours = argument;
	struct stoa_segment *other;
	pthread_t thread;

	CHECK_EQ(pthread_mutex_lock(&neighbours->before), 0);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	CHECK_EQ(pthread_mutex_lock(&neighbours->after), 0);
	if (neighbours->parting == CLOSES_ITSELF) {
		stoa_segment_close(segment);
	} else {
		CHECK_EQ(pthread_create(&thread, NULL, close_the_last_handle, segment), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
	if (neighbours->parting == ANOTHER_CLOSES_AND_IT_COMES_BY) {
		CHECK_RC(stoa_segment_create(NULL, 4096, &options, &other), 0);
		CHECK_RC(stoa_mutex_init(other, stoa_segment_address(other), STOA_OWNED), 0);
	}
	CHECK_EQ(pthread_mutex_lock(&neighbours->later), 0);
	raise(SIGKILL);
}

/* Told as abandoned, as its owner died with it. */
static void check_abandoned(pthread_mutex_t *mutex)
{
	CHECK_EQ(pthread_mutex_trylock(mutex), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(mutex), 0);
	CHECK_EQ(pthread_mutex_unlock(mutex), 0);
	CHECK_EQ(pthread_mutex_destroy(mutex), 0);
}

TEST(a_parting_leaves_the_programs_robust_mutexes_alone)
{
	struct neighbours *neighbours = test_shared(sizeof(*neighbours));
	pthread_mutexattr_t robust;

	CHECK_EQ(pthread_mutexattr_init(&robust), 0);
	CHECK_EQ(pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED), 0);
	CHECK_EQ(pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST), 0);
	for (unsigned how = CLOSES_ITSELF; how <= ANOTHER_CLOSES_AND_IT_COMES_BY; how++) {
		set_up();
		neighbours->parting = how;
		CHECK_EQ(pthread_mutex_init(&neighbours->before, &robust), 0);
		CHECK_EQ(pthread_mutex_init(&neighbours->after, &robust), 0);
		CHECK_EQ(pthread_mutex_init(&neighbours->later, &robust), 0);
		CHECK_EQ(test_join(test_role(part_among_mutexes, neighbours)), -SIGKILL);
		check_abandoned(&neighbours->before);
		check_abandoned(&neighbours->after);
		check_abandoned(&neighbours->later);
		CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), STOA_OWNER_DIED);
		CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
		tear_down();
	}
}

/* Windows has them; here they say what to use instead. */
TEST(plain_kernel_objects_are_not_of_this_system)
{
	struct stoa_kernel *object = NULL;
	struct stoa_segment *section = NULL;
	size_t index = 7;

	CHECK_RC(stoa_kernel_open(test_name("k"), STOA_KERNEL_EVENT, NULL, &object), -STOA_ENOTSUP);
	CHECK(strstr(stoa_error_detail(), "stoa/sync.h"));
	CHECK_RC(stoa_kernel_segment(test_name("k"), 4096, 0, 0, &section), -STOA_ENOTSUP);
	CHECK_RC(stoa_kernel_open(test_name("k"), 0, NULL, &object), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_segment(NULL, 4096, 0, 0, &section), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_wait(object, STOA_TRY), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_wait_any(&object, 1, STOA_TRY, &index), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_unlock(object), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_set(object), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_reset(object), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_post(object, 1), -STOA_EINVAL);
	stoa_kernel_close(object);
	CHECK(!section && index == 7);
}
