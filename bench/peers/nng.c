/* SPDX-License-Identifier: MIT */
/*
 * nng over ipc://. See wire.h.
 *
 * Used well: messages made in place and handed over (nng_sendmsg, nng_recvmsg: its manual's way without copies), over its
 * simplest protocol, a pair, with buffers of many messages. The socket is an abstract one where this nng has them: nothing is left.
 */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <unistd.h>

#include "../measure.h"
#include "wire.h"

const bool wire_has_threads = true;

static char address[64];
static nng_socket ours;

int wire_open(const struct wire_plan *plan)
{
	(void)plan;
	snprintf(address, sizeof(address), "abstract://stoa-bench-nng-%d", (int)getpid());
	return 0;
}

int wire_join(const struct wire_plan *plan, unsigned side)
{
	int error = nng_pair0_open(&ours), most = plan->size >= 1 << 20 ? 8 : 1000;

	if (!error)
		error = nng_socket_set_int(ours, NNG_OPT_SENDBUF, most);
	if (!error)
		error = nng_socket_set_int(ours, NNG_OPT_RECVBUF, most);
	if (!error)
		error = nng_socket_set_size(ours, NNG_OPT_RECVMAXSZ, 0); /* no limit */
	if (!error)
		error = side ? nng_listen(ours, address, NULL, 0) : nng_dial(ours, address, NULL, 0);
	return error ? wire_refuse(address, nng_strerror(error)) : 0;
}

int wire_put(const struct wire_plan *plan, unsigned side, uint64_t number)
{
	nng_msg *message;
	int error = nng_msg_alloc(&message, plan->size);

	(void)side;
	if (error)
		return wire_refuse("nng_msg_alloc", nng_strerror(error));
	measure_fill(nng_msg_body(message), plan->size, number);
	error = nng_sendmsg(ours, message, 0);
	return error ? wire_refuse("nng_sendmsg", nng_strerror(error)) : 0;
}

int wire_take(const struct wire_plan *plan, unsigned side)
{
	nng_msg *message;
	int error = nng_recvmsg(ours, &message, 0);

	(void)side;
	if (error)
		return wire_refuse("nng_recvmsg", nng_strerror(error));
	if (nng_msg_len(message) != plan->size)
		return wire_refuse("nng_recvmsg", "a message of another size");
	measure_use(measure_sum(nng_msg_body(message), plan->size));
	nng_msg_free(message);
	return 0;
}
