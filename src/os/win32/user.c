/* SPDX-License-Identifier: MIT */
/*
 * Who this user is: the SID of the process's token. A number made of it stands where Linux has user ids; access is granted by
 * the SID itself.
 */
#include <os/win32/sys.h>

#include <base/error.h>
#include <stdlib.h>

#define ENTRY (sizeof(ACCESS_ALLOWED_ACE) + SECURITY_MAX_SID_SIZE)

/* A security descriptor and what it refers to. */
struct rights {
	unsigned char list[sizeof(ACL) + 2 * ENTRY];
	SECURITY_DESCRIPTOR descriptor;
	SECURITY_ATTRIBUTES attributes;
};

struct user {
	union {
		TOKEN_USER token;
		unsigned char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} sid;
	struct rights owner_only, world_readable, handle_only;
	uint32_t id;
	bool known;
};

static struct user user;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

/* FNV-1a, 32 bits. */
uint32_t sys_user_number(PSID sid)
{
	const unsigned char *next = sid;
	uint32_t value = UINT32_C(0x811c9dc5);

	for (DWORD left = GetLengthSid(sid); left; left--)
		value = (value ^ *next++) * UINT32_C(0x01000193);
	/* 0 stands for whoever may do everything, which no number can say here. */
	return value == OS_SENDER_UNKNOWN || value == 0 ? 1 : value;
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

/* One who is allowed something. */
struct grant {
	PSID to;
	DWORD access;
};

/*
 * The user's SID is named as the owner too: an administrator's objects would belong to all administrators otherwise. Protected: else
 * a file would have what its folder hands down besides.
 */
static bool make_rights(struct rights *rights, PSID owner, struct grant first, struct grant second)
{
	ACL *list = (ACL *)(void *)rights->list;

	rights->attributes = (SECURITY_ATTRIBUTES){sizeof(rights->attributes), &rights->descriptor, FALSE};
	return InitializeAcl(list, sizeof(rights->list), ACL_REVISION) &&
	       AddAccessAllowedAce(list, ACL_REVISION, first.access, first.to) &&
	       (!second.to || AddAccessAllowedAce(list, ACL_REVISION, second.access, second.to)) &&
	       InitializeSecurityDescriptor(&rights->descriptor, SECURITY_DESCRIPTOR_REVISION) &&
	       SetSecurityDescriptorOwner(&rights->descriptor, owner, FALSE) &&
	       SetSecurityDescriptorDacl(&rights->descriptor, TRUE, list, FALSE) &&
	       SetSecurityDescriptorControl(&rights->descriptor, SE_DACL_PROTECTED, SE_DACL_PROTECTED);
}

/*
 * The system lets an owner change who may do what, unless the list says what owners may: then that is all. So a handle that only
 * reads stays one, for this user's own programs too.
 */
static bool make_all_rights(PSID owner)
{
	unsigned char world[SECURITY_MAX_SID_SIZE], owners[SECURITY_MAX_SID_SIZE];
	DWORD world_room = sizeof(world), owners_room = sizeof(owners);
	struct grant none = {NULL, 0}, own = {owner, GENERIC_ALL}, read = {world, GENERIC_READ},
		     look = {owners, READ_CONTROL};

	return CreateWellKnownSid(WinWorldSid, NULL, world, &world_room) &&
	       CreateWellKnownSid(WinCreatorOwnerRightsSid, NULL, owners, &owners_room) &&
	       make_rights(&user.owner_only, owner, own, none) && make_rights(&user.world_readable, owner, own, read) &&
	       make_rights(&user.handle_only, owner, look, none);
}

static BOOL CALLBACK set_up(PINIT_ONCE self, PVOID parameter, PVOID *context)
{
	PSID owner;

	(void)self, (void)parameter, (void)context;
	if (!learn(GetCurrentProcess(), &user.sid.token, sizeof(user.sid)))
		return TRUE;
	owner = user.sid.token.User.Sid;
	user.id = sys_user_number(owner);
	user.known = make_all_rights(owner);
	return TRUE;
}

static SECURITY_ATTRIBUTES *rights_of(struct rights *rights)
{
	InitOnceExecuteOnce(&once, set_up, NULL, NULL);
	if (user.known)
		return &rights->attributes;
	(void)error_set(-STOA_ESYSTEM, "this process's user cannot be learned from its token");
	return NULL;
}

SECURITY_ATTRIBUTES *sys_owner_only(void)
{
	return rights_of(&user.owner_only);
}

SECURITY_ATTRIBUTES *sys_world_readable(void)
{
	return rights_of(&user.world_readable);
}

SECURITY_ATTRIBUTES *sys_handle_only(void)
{
	return rights_of(&user.handle_only);
}

uint32_t os_user_id(void)
{
	InitOnceExecuteOnce(&once, set_up, NULL, NULL);
	return user.id;
}

/* The owner of an object, and room for it. */
struct owner {
	union {
		SECURITY_DESCRIPTOR descriptor;
		unsigned char bytes[512];
	} buffer;
	PSID sid;
};

static bool ask_owner(HANDLE object, struct owner *owner)
{
	BOOL by_default;
	DWORD length;

	return GetKernelObjectSecurity(object, OWNER_SECURITY_INFORMATION, &owner->buffer.descriptor,
				       sizeof(owner->buffer), &length) &&
	       GetSecurityDescriptorOwner(&owner->buffer.descriptor, &owner->sid, &by_default) && owner->sid;
}

enum sys_owner sys_owner_of(HANDLE object)
{
	struct owner owner;

	InitOnceExecuteOnce(&once, set_up, NULL, NULL);
	if (!user.known || !ask_owner(object, &owner))
		return SYS_OWNER_UNKNOWN;
	if (EqualSid(owner.sid, user.sid.token.User.Sid))
		return SYS_OWNER_WE;
	return IsWellKnownSid(owner.sid, WinBuiltinAdministratorsSid) ? SYS_OWNER_ADMINISTRATORS : SYS_OWNER_OTHER;
}

uint32_t sys_user_of_token(HANDLE token)
{
	union {
		TOKEN_USER token;
		unsigned char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} sid;
	DWORD length;

	return GetTokenInformation(token, TokenUser, &sid, sizeof(sid), &length) ? sys_user_number(sid.token.User.Sid)
										 : OS_SENDER_UNKNOWN;
}

uint32_t sys_user_of(HANDLE process)
{
	HANDLE token;
	uint32_t id;

	if (!OpenProcessToken(process, TOKEN_QUERY, &token))
		return OS_SENDER_UNKNOWN;
	id = sys_user_of_token(token);
	CloseHandle(token);
	return id;
}
