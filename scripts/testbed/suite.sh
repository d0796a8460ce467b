# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck shell=bash disable=SC2154
#
# What check-e2e and check-parity have in common: the scripts NN-what.sh of one
# directory are run in guests, those with the same options in one, and there is
# one line for the result of each. A guest that ends early is started again for
# the scripts that are left.
#
# Sourced after lib.sh, with suite set to the name of a directory in tests/ and
# of a script guest-NAME that runs the tests that are its arguments. The
# function suite_options says what options of scripts/vm a test wants.

kernels=$TVQ_KERNELS
names=()
without=()
run_name=
suite_args()
{
	while [ $# -gt 0 ]; do
		case $1 in
		--kernel)
			[ "$2" = all ] || kernels=$2
			shift
			;;
		--name)
			run_name=$2
			shift
			;;
		--without)
			read -ra without <<<"$2"
			shift
			;;
		-h | --help) usage ;;
		-*) usage 122 >&2 ;;
		*) names+=("$(basename "$1" .sh)") ;;
		esac
		shift
	done
}

passed=0
failed=0
skipped=0
summary=()
result()
{
	local kernel=$1 verdict=$2 test=$3 text=${4:-}

	case $verdict in
	PASS) passed=$((passed + 1)) ;;
	SKIP) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
	summary+=("$verdict $kernel $test${text:+ ($text)}")
}

declared()
{
	sed -n "s/^# $2: *//p" "$TVQ_TOP/tests/$suite/$1.sh" | head -n 1
}

# among TEST NAME...: is it one of these, by number or by name?
among()
{
	local test=$1 name
	shift

	for name in "$@"; do
		[ "$name" = "$test" ] || [ "$name" = "${test%%-*}" ] && return
	done
	return 1
}

wanted()
{
	[ ${#names[@]} -eq 0 ] || among "$1" "${names[@]}" || return
	[ ${#without[@]} -eq 0 ] || ! among "$1" "${without[@]}"
}

# A test with sides is run on each, with its own limit for both.
suite_sides=1

run_group()
{
	local kernel=$1 group=$2 options=$3 rc verdict time last t
	local n=0 seconds limit todo left bad name
	shift 3
	todo=("$@")
	while [ ${#todo[@]} -gt 0 ]; do
		name=${run_name:-$suite}-$kernel-$group
		[ $n -gt 0 ] && name=$name-again$n
		n=$((n + 1))
		seconds=60
		for t in "${todo[@]}"; do
			limit=$(declared "$t" timeout)
			limit=$((${limit:-120} * suite_sides))
			seconds=$((seconds + limit + 10))
		done
		tvq_slow "$kernel" && seconds=$((seconds * 3))
		echo "=== $kernel: ${options:-(no options)}: ${todo[*]}"
		rc=0
		eval "set -- $options"
		: >"$results"
		"$TVQ_TOP/scripts/vm" --no-build --kernel "$kernel" \
			--name "$name" --timeout "$seconds" \
			--results "$results" "$@" \
			run "$TVQ_TOP/scripts/testbed/guest-$suite" "${todo[@]}" \
			</dev/null 2>&1 || rc=$?
		left=()
		bad=0
		for t in "${todo[@]}"; do
			last=$(grep "^$t " "$results" | tail -n 1) || true
			read -r _ verdict time <<<"$last"
			case ${verdict:-} in
			PASS | SKIP) result "$kernel" "$verdict" "$t" "$time s" ;;
			FAIL)
				bad=1
				result "$kernel" FAIL "$t" "$time s"
				;;
			start)
				bad=1
				result "$kernel" FAIL "$t" "the guest ended"
				;;
			*) left+=("$t") ;;
			esac
		done
		if [ ${#left[@]} -eq ${#todo[@]} ]; then
			for t in "${left[@]}"; do
				result "$kernel" FAIL "$t" "no boot, status $rc"
			done
			break
		fi
		if [ $rc -ne 0 ] && [ $bad -eq 0 ]; then
			result "$kernel" FAIL "${todo[*]}" \
				"passed, then the run ended with status $rc"
		fi
		todo=("${left[@]}")
	done
}

# suite_run TEXT: all of it, TEXT being what the tests are called.
suite_run()
{
	local kernel file test where options n

	results=$(mktemp)
	trap 'rm -f "$results"' EXIT
	for kernel in $kernels; do
		tvq_valid_kernel "$kernel"
		declare -A group=()
		order=()
		for file in "$TVQ_TOP/tests/$suite"/[0-9]*-*.sh; do
			[ -e "$file" ] || continue
			test=$(basename "$file" .sh)
			wanted "$test" || continue
			where=$(declared "$test" kernels)
			case " ${where:-$kernel} " in
			*" $kernel "*) ;;
			*) continue ;;
			esac
			options=$(suite_options "$test")
			[ -n "${group[_$options]:-}" ] || order+=("$options")
			group[_$options]+=" $test"
		done
		if ! "$TVQ_TOP/scripts/build" --if-needed --kernel "$kernel"; then
			result "$kernel" FAIL build
			continue
		fi
		n=0
		for options in "${order[@]}"; do
			n=$((n + 1))
			# shellcheck disable=SC2086
			run_group "$kernel" $n "$options" ${group[_$options]}
		done
		unset group
	done

	[ ${#summary[@]} -eq 0 ] && result - FAIL "no test of that name"
	echo "=== $1:"
	printf '%s\n' "${summary[@]}"
	[ $skipped -gt 0 ] && echo "$skipped skipped"
	echo "$passed passed, $failed failed"
	[ $failed -eq 0 ]
}
