/* SPDX-License-Identifier: MIT */
/* In place of zstd.c, in builds without libzstd. Uses base. */
#include <backing/backing.h>

#include <base/error.h>

int backing_zstd(const char *path, const struct stoa_backing_zstd_options *options, struct stoa_backing **ret_backing)
{
	(void)options, (void)ret_backing;
	return error_set(-STOA_ENOTSUP, "'%s': this libstoa was built without libzstd (-Dzstd=enabled asks for it)",
			 path);
}
