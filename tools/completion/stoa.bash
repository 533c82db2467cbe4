# SPDX-License-Identifier: MIT
# bash completion for stoa(1): commands, their options (as their --help lists them), and names of live objects.

_stoa_names()
{
	# One name per line; odd ones come quoted by compopt -o filenames.
	stoa ls --json "$@" 2>/dev/null | sed -n 's/^{"name":"\([^"\\]*\)".*/\1/p'
}

_stoa_options()
{
	stoa "$1" --help 2>/dev/null | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p'
}

_stoa_commands()
{
	stoa --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p'
}

_stoa()
{
	local current=${COMP_WORDS[COMP_CWORD]}
	local command=${COMP_WORDS[1]}
	local words

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="$(_stoa_commands) --help --version"
	elif [ "${current#-}" != "$current" ]; then
		words=$(_stoa_options "$command")
	else
		case $command in
		stat | map | check | rm | commit)
			case " ${COMP_WORDS[*]} " in
			*' --global '* | *' -g '*) words=$(_stoa_names --global) ;;
			*) words=$(_stoa_names) ;;
			esac
			compopt -o filenames 2>/dev/null
			;;
		find)
			compopt -o filenames -o plusdirs 2>/dev/null
			return
			;;
		bench)
			words=$(stoa bench --list --json 2>/dev/null | sed -n 's/^{"case":"\([^"]*\)".*/\1/p')
			;;
		help)
			words=$(_stoa_commands)
			;;
		esac
	fi
	# Names may hold blanks: words are lines.
	local IFS=$'\n'
	[ "$COMP_CWORD" -eq 1 ] && IFS=$' \n'
	words=$(compgen -W "$words" -- "$current")
	[ -n "$words" ] && mapfile -t COMPREPLY <<<"$words"
	return 0
}
complete -F _stoa stoa
