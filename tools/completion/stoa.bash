# SPDX-License-Identifier: MIT
# bash completion for stoa(1): commands, their options (as their --help lists them), values, and names of live objects.
#
# Names are other people's text. They are compared, never expanded: no eval, no compgen -W (which expands its words). What goes on
# the line is quoted here: `compopt -o filenames` would leave a '$' as it is.

# The words of the line up to the cursor, without their quotes, in the caller's `words`; the last one is under the cursor, in an
# open `quote` or none. Of it readline replaces only what lies behind that quote, or a ':' or '=': `skip` characters stay.
_stoa_words()
{
	local line=${COMP_LINE:0:COMP_POINT} begun='' word='' outer=0 char i

	words=() quote='' skip=0
	for ((i = 0; i < ${#line}; i++)); do
		char=${line:i:1}
		if [[ -n $quote && $char == "$quote" ]]; then
			quote='' skip=$outer
		elif [[ -z $quote && $char == [\'\"] ]]; then
			quote=$char begun=yes outer=$skip skip=${#word}
		elif [[ $char == \\ ]] && [[ -z $quote || ($quote == \" && ${line:i+1:1} == [\$\`\"\\]) ]]; then
			((i++))
			word+=${line:i:1} begun=yes
		elif [[ -z $quote && $char == [[:blank:]] ]]; then
			[[ -n $begun ]] && words+=("$word")
			word='' begun='' skip=0
		else
			word+=$char begun=yes
			[[ -z $quote && $COMP_WORDBREAKS == *"$char"* ]] && skip=${#word}
		fi
	done
	words+=("$word")
}

# Names of this user's objects, or with "yes" of the host's, added to the caller's `candidates`.
_stoa_names()
{
	local line lines global

	mapfile -t lines < <(stoa ls --json ${1:+--global} 2>/dev/null)
	for line in "${lines[@]}"; do
		global=
		[[ $line =~ \"flags\":\[[^]]*\"global\" ]] && global=yes
		# A name holds no backslash: what JSON escapes in it are double quotes.
		[[ $global == "$1" && $line =~ ^\{\"name\":\"(([^\"\\]|\\\")+)\", ]] && candidates+=("${BASH_REMATCH[1]//\\\"/\"}")
	done
}

# Ids of the objects in the store that the command line names, or in the default one.
_stoa_objects()
{
	local line lines i id where=--store

	for ((i = 2; i < ${#words[@]} - 1; i++)); do
		case ${words[i]} in
		--store=*) where=${words[i]} ;;
		--store | -s) [[ ${words[1]} == @(put|get|wait|subscribe|pin|unpin|who) ]] && where=--store=${words[i + 1]} ;;
		esac
	done
	mapfile -t lines < <(stoa ls "$where" --json 2>/dev/null)
	for line in "${lines[@]}"; do
		# What JSON escapes in an id that is shown are double quotes and backslashes.
		[[ $line =~ ^\{\"id\":\"(([^\"\\]|\\.)+)\", ]] || continue
		id=${BASH_REMATCH[1]//\\\"/\"}
		candidates+=("${id//\\\\/\\}")
	done
}

_stoa_commands()
{
	mapfile -t -O ${#candidates[@]} candidates < <(stoa --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')
}

# The options of a command; with "$2", those only that take an argument of that kind, e.g. [A-Z]
_stoa_options()
{
	stoa "$1" --help 2>/dev/null | sed -n "s/^  \(-., \|    \)\(--[a-z-]*\)${2:+ $2}.*/\2/p"
}

# Values of option "$2" of command "$1". Fails when it takes none, or is not to be found in the help.
_stoa_values()
{
	case $2 in
	--sort) candidates=(name messages bytes lag used sleeps users memory) ;;
	--huge) candidates=(auto never require) ;;
	--type) candidates=(f d l p s b c) ;;
	--directory) compopt -o dirnames 2>/dev/null ;;
	--store) # of ls, stat and rm only behind '='
		[[ $1 == @(put|get|wait|pin|unpin|who) || $current == --store=* ]] || return 1
		compopt -o default 2>/dev/null
		return 0
		;;
	--kind) candidates=(auto copied private sealed) ;;
	--access) mapfile -t candidates < <(printf '%s\n' owner all && compgen -u -P user: && compgen -g -P group:) ;;
	*) _stoa_options "$1" '[A-Z]' | grep -qxF -e "$2" ;;
	esac
}

_stoa_operands()
{
	local word global='' store='' i before=0

	for word in "${words[@]}"; do
		[[ $word == --global || $word == -g ]] && global=yes
		[[ $word == --store || $word == --store=* || $word == -s ]] && store=yes
	done
	for ((i = 2; i < ${#words[@]} - 1; i++)); do
		case ${words[1]}${words[i]} in
		*--store | *-s | *--wait | *-w | put--kind | put-k | put--access | put-a | put--meta | put-m | put--follow | put-f) ((i++)) ;;
		put-* | get-*) ;;
		*) ((before++)) ;;
		esac
	done
	case ${words[1]} in
	ls) return ;;
	stat | rm) [[ -n $store ]] && _stoa_objects && return ;;&
	wait | subscribe | pin | unpin | who) _stoa_objects ;;
	put | get)
		((before == 0)) && _stoa_objects
		compopt -o default 2>/dev/null # files, where no id begins so
		;;
	stat | map | check | rm | commit | send | recv | tap | top | pages) _stoa_names "$global" ;;
	find) compopt -o dirnames 2>/dev/null ;;
	pipe) compopt -o default 2>/dev/null ;; # the words of commands
	help) _stoa_commands ;;
	bench)
		mapfile -t candidates < <(stoa bench --list --json 2>/dev/null | sed -n 's/^{"case":"\([^"]*\)".*/\1/p')
		;;
	esac
}

# Offer "$1", quoted for the place that `quote` tells. A '!' is special inside of double quotes too, and cannot be quoted there.
_stoa_offer()
{
	local text='' char i

	for ((i = 0; i < ${#1}; i++)); do
		char=${1:i:1}
		case $quote$char in
		\'\') text+="'\\''" ;;
		\"!) text+='"\!"' ;;
		\"[\$\`\"\\] | [[:ascii:]]) [[ -n $quote || $char != [[:alnum:]_./+,%^-] ]] && text+=\\ ;&
		*) text+=$char ;;
		esac
	done
	# readline closes the quote, but not behind one of the same kind.
	[[ -n $quote && $text == *"$quote" ]] && text+=$quote
	COMPREPLY+=("$text")
}

_stoa()
{
	local words quote skip candidates=() candidate current before='' last

	COMPREPLY=()
	_stoa_words
	last=$((${#words[@]} - 1))
	current=${words[last]}
	((last > 0)) && before=${words[last - 1]}
	[[ $before == -t && ${words[1]} == find ]] && before=--type
	[[ $before == -s && ${words[1]} == top ]] && before=--sort
	[[ $before == -s && ${words[1]} == @(put|get|wait|subscribe|pin|unpin|who) ]] && before=--store
	[[ $before == -k && ${words[1]} == put ]] && before=--kind
	[[ $before == -a && ${words[1]} == put ]] && before=--access
	if ((last == 1)); then
		_stoa_commands
		candidates+=(--help --version)
	elif [[ $current == --*=* ]]; then
		_stoa_values "${words[1]}" "${current%%=*}"
		candidates=("${candidates[@]/#/${current%%=*}=}")
	elif [[ $before == -?* ]] && _stoa_values "${words[1]}" "$before"; then
		:
	elif [[ $current == -* ]]; then
		mapfile -t candidates < <(_stoa_options "${words[1]}")
	else
		_stoa_operands
	fi
	for candidate in "${candidates[@]}"; do
		[[ ${candidate:0:${#current}} == "$current" ]] && _stoa_offer "${candidate:skip}"
	done
	return 0
}
complete -F _stoa stoa
