/* SPDX-License-Identifier: MIT */
/*
 * Who this user is: the SID of the process's token. A number made of it stands where Linux has user ids; access is granted by
 * the SID itself.
 */
#include <os/win32/sys.h>

#include <base/error.h>
#include <stdlib.h>

struct user {
	union {
		TOKEN_USER token;
		unsigned char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} sid;
	unsigned char list[sizeof(ACL) + sizeof(ACCESS_ALLOWED_ACE) + SECURITY_MAX_SID_SIZE];
	SECURITY_DESCRIPTOR descriptor;
	SECURITY_ATTRIBUTES attributes;
	uint32_t id;
	bool known;
};

static struct user user;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

/* FNV-1a, 32 bits. */
static uint32_t number_of(PSID sid)
{
	const unsigned char *next = sid;
	uint32_t value = UINT32_C(0x811c9dc5);

	for (DWORD left = GetLengthSid(sid); left; left--)
		value = (value ^ *next++) * UINT32_C(0x01000193);
	return value == OS_SENDER_UNKNOWN ? 0 : value;
}

static bool learn(HANDLE process, TOKEN_USER *token_user, DWORD room)
{
	HANDLE token;
	DWORD length;
	bool done;

	if (!OpenProcessToken(process, TOKEN_QUERY, &token))
		return false;
	done = GetTokenInformation(token, TokenUser, token_user, room, &length);
	CloseHandle(token);
	return done;
}

static BOOL CALLBACK set_up(PINIT_ONCE self, PVOID parameter, PVOID *context)
{
	(void)self, (void)parameter, (void)context;
	if (!learn(GetCurrentProcess(), &user.sid.token, sizeof(user.sid)))
		return TRUE;
	user.id = number_of(user.sid.token.User.Sid);
	user.attributes = (SECURITY_ATTRIBUTES){sizeof(user.attributes), &user.descriptor, FALSE};
	user.known =
		InitializeAcl((ACL *)(void *)user.list, sizeof(user.list), ACL_REVISION) &&
		AddAccessAllowedAce((ACL *)(void *)user.list, ACL_REVISION, GENERIC_ALL, user.sid.token.User.Sid) &&
		InitializeSecurityDescriptor(&user.descriptor, SECURITY_DESCRIPTOR_REVISION) &&
		SetSecurityDescriptorDacl(&user.descriptor, TRUE, (ACL *)(void *)user.list, FALSE);
	return TRUE;
}

SECURITY_ATTRIBUTES *sys_owner_only(void)
{
	InitOnceExecuteOnce(&once, set_up, NULL, NULL);
	if (user.known)
		return &user.attributes;
	(void)error_set(-STOA_ESYSTEM, "this process's user cannot be learned from its token");
	return NULL;
}

uint32_t os_user_id(void)
{
	InitOnceExecuteOnce(&once, set_up, NULL, NULL);
	return user.id;
}

uint32_t sys_user_of(HANDLE process)
{
	union {
		TOKEN_USER token;
		unsigned char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} sid;

	return learn(process, &sid.token, sizeof(sid)) ? number_of(sid.token.User.Sid) : OS_SENDER_UNKNOWN;
}
