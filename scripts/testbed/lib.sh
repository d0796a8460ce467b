# SPDX-License-Identifier: GPL-2.0-or-later OR BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2086 # code for the tree's shell; lists of packages
#
# The test bed: a Debian 13 tree with QEMU, compilers and kernels, made once
# and kept in a cache outside the checkout. Everything that compiles or runs
# does so inside that tree. Sourced by the scripts next to this directory.
#
# Every artifact of the cache lives in a directory whose name holds a hash of
# what went into it. It is built under a temporary name, with a lock held, and
# renamed when it is complete: an interrupted build leaves nothing that looks
# finished, and two runs at once build it once.

set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C

TVQ_TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
TVQ_CACHE=${TVQ_CACHE:-/var/cache/virtio-tvq}
TVQ_SUITE=trixie
TVQ_KERNELS="6.12 7.2 debug"
# Those that are used where they are asked for by name alone.
TVQ_KERNELS_MORE="rt kcsan"

die()
{
	echo "${0##*/}: $*" >&2
	exit 122
}

# step TEXT CMD...: run CMD quietly, and say in one line how long it took.
step()
{
	local text=$1 log start=$EPOCHREALTIME rc=0
	shift
	log=$(mktemp)
	# Not in an "||" list: that would switch errexit off inside "$@".
	set +e
	(set -e; "$@") >"$log" 2>&1
	rc=$?
	set -e
	if [ $rc -ne 0 ]; then
		echo "== $text: failed with status $rc" >&2
		tail -n 40 "$log" >&2
		rm -f "$log"
		return $rc
	fi
	rm -f "$log"
	printf '%7.1f s  %s\n' "$(tvq_since "$start")" "$text" >&2
}

tvq_since()
{
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}

tvq_hash()
{
	sha256sum | cut -c1-12
}

# Host packages that the set-up itself needs, by the command each one brings.
tvq_need_host()
{
	local want=() pair

	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || want+=("${pair#*=}")
	done
	[ ${#want[@]} -eq 0 ] && return
	[ "$(id -u)" -eq 0 ] || die "must run as root"
	command -v apt-get >/dev/null || die "no apt-get, and missing: ${want[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y \
		--no-install-recommends "${want[@]}"
}

# The Debian mirror that this machine's own apt uses, or nothing.
tvq_mirror()
{
	local codename

	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --no-release-info \
		--format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null |
	awk -v c="$codename" '
		$1 !~ /^(http|https|file):/ || $3 != "main" { next }
		$2 != c && $2 !~ /^(stable|testing|trixie)$/ { next }
		{ print ($1 ~ /\/debian\/?$/ ? 0 : 1), $1 }' |
	sort -s -n -k1,1 | awk 'NR == 1 { sub(/\/$/, "", $2); print $2 }'
}

# tvq_artifact NAME FUNCTION [ARG...]: unless NAME is complete in the cache,
# have FUNCTION build it. FUNCTION gets the directory to fill, then ARGs.
# Prints the path.
tvq_artifact()
{
	local name=$1 dir=$TVQ_CACHE/$1 fn=$2
	shift 2

	if [ ! -d "$dir" ]; then
		mkdir -p "$TVQ_CACHE"
		(
			flock 9
			if [ ! -d "$dir" ]; then
				rm -rf --one-file-system "$dir.new"
				mkdir "$dir.new"
				bash -c '. "$0"; "$@"' "${BASH_SOURCE[0]}" \
					"$fn" "$dir.new" "$@" 1>&2 9>&- ||
					exit
				mv "$dir.new" "$dir"
			fi
		) 9>"$TVQ_CACHE/.lock-$name" || return
	fi
	echo "$dir"
}

# tvq_enter [-w] [-n] [-p] [-b FROM:TO[:ro]]... TREE CMD...
# Run CMD with TREE as its root directory, in mount and pid namespaces of its
# own: nothing that it starts or mounts outlives it. -w: the tree is writable,
# -n: no network, -p: the packaging system's view (name service, proxies).
tvq_enter()
{
	local opts=(--mount --pid --fork --kill-child) tree pid rc=0 saved=
	local rw='' pkg='' binds=()

	while :; do
		case $1 in
		-w) rw=1 ;;
		-n) opts+=(--net) ;;
		-p) pkg=1 ;;
		-b) binds+=("$2"); shift ;;
		*) break ;;
		esac
		shift
	done
	tree=$1
	shift
	[ -t 0 ] && saved=$(stty -g)
	TVQ_RW=$rw TVQ_PKG=$pkg TVQ_BINDS="${binds[*]}" \
		setpriv --pdeathsig KILL unshare "${opts[@]}" \
		bash "$TVQ_TOP/scripts/testbed/enter" "$tree" "$@" <&0 &
	pid=$!
	trap 'kill -KILL $pid 2>/dev/null; trap - TERM; kill -TERM $BASHPID' \
		INT TERM HUP
	wait $pid || rc=$?
	trap - INT TERM HUP
	[ -n "$saved" ] && stty "$saved"
	return $rc
}

# --- the Debian tree -------------------------------------------------------

# What the tree holds besides a minimal Debian. The kernels are not installed
# but unpacked: their packages would drag in an initramfs generator.
TVQ_PACKAGES="
	qemu-system-x86 seabios
	gcc make libc6-dev binutils sparse flex bison bc cpio perl libelf-dev
	libssl-dev libcap-dev xz-utils zstd
	python3 jq busybox-static
	iproute2 iputils-ping iperf3 ethtool e2fsprogs xfsprogs fdisk pciutils
	kmod procps fio"

# linux_packages VERSION: the packages of the newest kernel of that series,
# as the tree's apt knows them.
TVQ_LINUX_PACKAGES='
	abi=$(apt-cache pkgnames linux-headers-$1. |
	      sed -n "s/^linux-headers-\([0-9.]*+deb13\)-amd64$/\1/p" |
	      sort -V | tail -n 1)
	test -n "$abi" || { echo "no kernel $1 in the archive" >&2; exit 1; }
	p="linux-headers-$abi-amd64 linux-headers-$abi-common"
	p="$p linux-kbuild-$abi"
	if apt-cache show linux-modules-$abi-amd64 >/dev/null 2>&1; then
		p="$p linux-base-$abi-amd64 linux-binary-$abi-amd64"
		p="$p linux-modules-$abi-amd64"
	else
		p="$p linux-image-$abi-amd64"
	fi
	echo $p'

tvq_tree_key()
{
	{
		echo "$TVQ_SUITE" $TVQ_PACKAGES "$TVQ_LINUX_PACKAGES"
		declare -f tvq_tree_bootstrap tvq_tree_packages
	} | tvq_hash
}

tvq_tree_bootstrap()
{
	local dir=$1 mirror args=()

	mirror=$(tvq_mirror)
	[ -n "${TVQ_MIRROR:-}" ] && mirror=$TVQ_MIRROR
	[ -n "$mirror" ] && args=("$mirror")
	debootstrap --variant=minbase "$TVQ_SUITE" "$dir" "${args[@]}"
	mirror=$(awk '$1 == "deb" { print $2; exit }' "$dir/etc/apt/sources.list")
	cat >"$dir/etc/apt/sources.list" <<-END
		deb $mirror $TVQ_SUITE main
		deb $mirror $TVQ_SUITE-backports main
	END
	cat >"$dir/etc/apt/preferences.d/tvq" <<-END
		Package: qemu-* seabios
		Pin: release n=$TVQ_SUITE-backports
		Pin-Priority: 600
	END
	cat >"$dir/etc/apt/apt.conf.d/tvq" <<-END
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Dpkg::Use-Pty "false";
	END
	# No daemon is to be started in the tree, and fsync is of no use: an
	# interrupted build is thrown away.
	printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
	chmod 755 "$dir/usr/sbin/policy-rc.d"
	echo force-unsafe-io >"$dir/etc/dpkg/dpkg.cfg.d/tvq"
	printf 'path-exclude=/usr/share/%s/*\n' man locale doc >> \
		"$dir/etc/dpkg/dpkg.cfg.d/tvq"
	mkdir -p "$dir/tvq/src" "$dir/tvq/modules" "$dir/tvq/run" \
		"$dir/tvq/root" "$dir/tvq/boot" "$dir/tvq/out" "$dir/tvq/linux"
}

tvq_tree_packages()
{
	tvq_enter -w -p "$1" bash -euc '
		export DEBIAN_FRONTEND=noninteractive
		linux() { bash -euc "$L" linux "$1"; }
		L=$1
		shift
		apt-get update
		k612=$(linux 6.12)
		k72=$(linux 7.2)
		mkdir /tmp/linux
		apt-get install -y --download-only "$@"
		apt-get install -y --no-download "$@" &
		cd /tmp/linux
		apt-get download $k612 $k72
		for deb in *.deb; do
			dpkg-deb --fsys-tarfile $deb |
				tar -x --keep-directory-symlink -C /
		done
		wait $!
		for dir in /lib/modules/*; do
			depmod ${dir##*/}
		done
		cd /
		for v in 6.12 7.2; do
			abi=$(ls /lib/modules | grep "^$v\.")
			mkdir /boot/$v
			image=/boot/vmlinuz-$abi
			[ -e $image ] || image=/lib/modules/$abi/vmlinuz
			mv $image /boot/$v/vmlinuz
			echo $abi >/boot/$v/release
		done
		apt-get clean
		rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
		' bash "$TVQ_LINUX_PACKAGES" $TVQ_PACKAGES
}

tvq_tree_make()
{
	[ "$(id -u)" -eq 0 ] || die "must run as root"
	step "host packages" tvq_need_host debootstrap=debootstrap \
		setpriv=util-linux flock=util-linux xz=xz-utils
	step "Debian tree: bootstrap" tvq_tree_bootstrap "$1"
	step "Debian tree: QEMU, compiler, kernels" tvq_tree_packages "$1"
}

tvq_tree_extra()
{
	local dir=$1 base
	shift
	base=$(tvq_tree)
	cp -a --reflink=auto "$base/." "$dir"
	step "Debian tree: $*" tvq_enter -w -p "$dir" bash -euc '
		apt-get update
		DEBIAN_FRONTEND=noninteractive apt-get install -y "$@"
		apt-get clean
		rm -rf /var/lib/apt/lists/*' bash "$@"
}

# tvq_tree [PACKAGE...]: path of the tree, with PACKAGEs of Debian added.
tvq_tree()
{
	local base

	[ "$(id -u)" -eq 0 ] || die "must run as root"
	base=$(tvq_artifact "tree-$(tvq_tree_key)" tvq_tree_make)
	if [ $# -eq 0 ]; then
		echo "$base"
	else
		tvq_artifact "tree-$(echo "$base" "$@" | tvq_hash)" \
			tvq_tree_extra "$@"
	fi
}

# --- kernel source, and the debug kernel ------------------------------------

TVQ_SOURCE=linux-source-7.2

tvq_source_make()
{
	step "$TVQ_SOURCE: download and unpack" \
		tvq_enter -w -p -b "$1:/tvq/linux" "$2" bash -euc '
		mount -t tmpfs tmpfs /var/lib/apt/lists
		mount -t tmpfs tmpfs /var/cache/apt
		apt-get update
		cd /tmp
		apt-get download $1
		dpkg-deb --fsys-tarfile $1_*.deb |
			tar -xO ./usr/src/$1.tar.xz |
			xz -dcT0 | tar -x --strip-components=1 -C /tvq/linux' \
		bash "$TVQ_SOURCE"
}

# tvq_source: path of the unpacked kernel source (checkpatch, kernel-doc, and
# what the debug kernel is built from).
tvq_source()
{
	local tree

	tree=$(tvq_tree)
	tvq_artifact "source-$(echo "${tree##*/}" "$TVQ_SOURCE" | tvq_hash)" \
		tvq_source_make "$tree"
}

TVQ_DEBUG_CONFIG=$TVQ_TOP/scripts/debug-kernel.config
TVQ_KCSAN_CONFIG=$TVQ_TOP/scripts/kcsan-kernel.config

# What the configuration asks for and allnoconfig dropped for want of a
# dependency: there must be none.
tvq_config_dropped()
{
	grep -E '^CONFIG_[A-Z0-9_]+=' "$1" | grep -vxFf "$2" ||
		[ $? -eq 1 ]
}

tvq_debug_make()
{
	local out=$1 tree=$2 source=$3 dropped

	cp "$TVQ_DEBUG_CONFIG" "$out/fragment"
	step "debug kernel: configuration" \
		tvq_enter -b "$source:/tvq/linux:ro" -b "$out:/tvq/out" "$tree" \
		make -s -C /tvq/linux O=/tvq/out allnoconfig \
		KCONFIG_ALLCONFIG=/tvq/out/fragment
	dropped=$(tvq_config_dropped "$out/fragment" "$out/.config")
	[ -z "$dropped" ] ||
		die "the debug kernel's configuration lost:" $dropped
	# Kept: what external modules are built against.
	step "debug kernel: build (about eight minutes on two cores)" \
		tvq_enter -b "$source:/tvq/linux:ro" -b "$out:/tvq/out" "$tree" \
		bash -euc '
		cd /tvq/out
		nice make -s -j$(nproc) bzImage modules
		make -s modules_install INSTALL_MOD_PATH=/tvq/out/install
		mkdir boot
		cp arch/x86/boot/bzImage boot/vmlinuz
		cp include/config/kernel.release boot/release
		rm -f install/lib/modules/*/build vmlinux* .tmp_vmlinux* System.map
		find . -type f ! -path "./scripts/*" ! -path "./tools/*" \
			! -path "./install/*" ! -path "./boot/*" \
			! -name Module.symvers ! -name module.lds \( \
			-name "*.[oa]" -o -name "*.ko" -o -name ".*.cmd" -o \
			-name "*.mod*" -o -name "vmlinux*" \) -delete'
}

# tvq_debug: path of the debug kernel: boot/, install/lib/modules/, and the
# rest is the build directory for external modules, to be mounted at /tvq/out
# with the source at /tvq/linux.
tvq_debug()
{
	local tree source

	tree=$(tvq_tree)
	source=$(tvq_source)
	tvq_artifact "debug-$({
		echo "${source##*/}"
		grep ^CONFIG_ "$TVQ_DEBUG_CONFIG"
		declare -f tvq_debug_make
		} | tvq_hash)" tvq_debug_make "$tree" "$source"
}

# tvq_config_merge BASE CHANGES: the options of BASE that CHANGES does not name,
# and those that CHANGES sets.
tvq_config_merge()
{
	awk '
		!/^(# )?CONFIG_[A-Z0-9_]+(=| is not set)/ { next }
		{ option = $0; gsub(/^# |=.*| is not set/, "", option) }
		NR == FNR { named[option] = 1; if (/^C/) print; next }
		!(option in named)' "$2" "$1"
}

tvq_kcsan_make()
{
	echo "The KCSAN kernel, a debug kernel of another configuration:"
	tvq_config_merge "$TVQ_DEBUG_CONFIG" "$TVQ_KCSAN_CONFIG" >"$1/wanted"
	TVQ_DEBUG_CONFIG=$1/wanted tvq_debug_make "$@"
}

# tvq_kcsan: path of the kernel that looks for data races, which is laid out as
# the debug kernel is.
tvq_kcsan()
{
	local tree source

	tree=$(tvq_tree)
	source=$(tvq_source)
	tvq_artifact "kcsan-$({
		echo "${source##*/}"
		tvq_config_merge "$TVQ_DEBUG_CONFIG" "$TVQ_KCSAN_CONFIG"
		declare -f tvq_debug_make tvq_kcsan_make
		} | tvq_hash)" tvq_kcsan_make "$tree" "$source"
}

tvq_rt_make()
{
	step "PREEMPT_RT kernel: download and unpack" \
		tvq_enter -w -p -b "$1:/tvq/out" "$2" bash -euc '
		mount -t tmpfs tmpfs /var/lib/apt/lists
		mount -t tmpfs tmpfs /var/cache/apt
		apt-get update
		# Of the version that the tree has: they share a part of the headers.
		abi=$(sed "s/-amd64$/-rt-amd64/" /boot/7.2/release)
		apt-cache show linux-binary-$abi >/dev/null || {
			echo "The archive has left $abi behind: the tree in the" \
				"cache is to be made anew." >&2
			exit 1
		}
		cd /tmp
		apt-get download linux-{base,binary,headers,modules}-$abi
		for deb in *.deb; do
			dpkg-deb --fsys-tarfile $deb |
				tar -x --keep-directory-symlink -C /tvq/out
		done
		cp -a /usr/src/linux-headers-${abi%-rt-amd64}-common /tvq/out/usr/src
		mkdir /tvq/out/boot
		mv /tvq/out/usr/lib/modules/$abi/vmlinuz /tvq/out/boot
		echo $abi >/tvq/out/boot/release
		mount --bind /tvq/out/usr/lib/modules /usr/lib/modules
		depmod $abi'
}

# tvq_rt: path of Debian's PREEMPT_RT kernel: boot/, usr/lib/modules/, and
# usr/src/, to be mounted where the tree has its own.
tvq_rt()
{
	local tree

	tree=$(tvq_tree)
	tvq_artifact "rt-$({
		echo "${tree##*/}"
		declare -f tvq_rt_make
		} | tvq_hash)" tvq_rt_make "$tree"
}

# tvq_kernel NAME: path of a directory with vmlinuz and release.
tvq_kernel()
{
	local dir

	case $1 in
	debug | kcsan | rt)
		dir=$("tvq_$1")
		echo "$dir/boot"
		;;
	*)
		dir=$(tvq_tree)
		echo "$dir/boot/$1"
		;;
	esac
}

# tvq_modules NAME: path of the directory that holds the kernel's own modules,
# as /usr/lib/modules is to look.
tvq_modules()
{
	local dir

	case $1 in
	debug | kcsan)
		dir=$("tvq_$1")
		echo "$dir/install/lib/modules"
		;;
	rt)
		dir=$(tvq_rt)
		echo "$dir/usr/lib/modules"
		;;
	*)
		dir=$(tvq_tree)
		echo "$dir/usr/lib/modules"
		;;
	esac
}

# tvq_slow NAME: is it several times as slow as a stock kernel?
tvq_slow()
{
	[ "$1" = debug ] || [ "$1" = kcsan ]
}

tvq_initrd_make()
{
	local out=$1 tree=$2 modules=$3 release=$4

	tvq_enter -b "$TVQ_TOP:/tvq/src:ro" -b "$out:/tvq/out" \
		-b "$modules:/usr/lib/modules:ro" "$tree" bash -euc '
		top=/tmp/initrd
		mkdir -p $top/bin $top/dev $top/proc $top/sys $top/lower \
			$top/rw $top/new $top/modules
		cp /usr/bin/busybox $top/bin
		cp /tvq/src/scripts/testbed/initramfs-init $top/init
		for module in virtio_pci 9pnet_virtio 9p overlay virtio_blk; do
			modprobe -S $1 --show-depends $module
		done | awk "\$1 == \"insmod\" && !seen[\$2]++ { print \$2 }" |
		while read -r file; do
			name=${file##*/}
			name=${name%%.ko*}.ko
			case $file in
			*.xz) xz -dc $file ;;
			*.zst) zstd -dc $file ;;
			*) cat $file ;;
			esac >$top/modules/$name
			# Loaded when it is needed alone.
			[ $name = virtio_blk.ko ] || echo $name
		done >$top/modules/order
		cd $top
		find . | cpio -o -H newc --quiet >/tvq/out/initrd
		# For tvq.ram: the same, and a second archive behind it.
		mkdir -p /tmp/ram/ram
		bash /tvq/src/scripts/testbed/ram-root /tmp/ram/ram $1
		cd /tmp/ram
		{
			cat /tvq/out/initrd
			find . | cpio -o -H newc --quiet
		} >/tvq/out/initrd-ram' bash "$release"
}

# tvq_initrd NAME: path of the initramfs for a kernel.
tvq_initrd()
{
	local tree modules kernel dir

	tree=$(tvq_tree)
	kernel=$(tvq_kernel "$1")
	modules=$(tvq_modules "$1")
	dir=$(tvq_artifact "initrd-$1-$({
		echo "$modules"
		cat "$TVQ_TOP/scripts/testbed/"{initramfs-init,ram-root}
		declare -f tvq_initrd_make
		} | tvq_hash)" tvq_initrd_make \
		"$tree" "$modules" "$(cat "$kernel/release")")
	echo "$dir/initrd"
}

tvq_kvm_make()
{
	local out=$1 tree=$2 kernel=$3 initrd=$4 log

	log=$(timeout -k 1 15 setpriv --pdeathsig KILL unshare --mount --pid \
		--fork --kill-child env \
		TVQ_BINDS="$kernel:/tvq/boot:ro $(dirname "$initrd"):/tvq/out:ro" \
		bash "$TVQ_TOP/scripts/testbed/enter" "$tree" \
		timeout -s KILL 12 qemu-system-x86_64 -nodefaults -display none \
		-no-reboot -machine q35 -accel kvm -cpu host -m 256M \
		-kernel /tvq/boot/vmlinuz -initrd /tvq/out/initrd -serial stdio \
		-append "console=ttyS0 quiet rdinit=/init panic=-1 tvq.probe" \
		2>&1 </dev/null) || true
	case $log in
	*alive*) echo kvm ;;
	*) echo tcg ;;
	esac >"$out/accel"
}

# tvq_accel: kvm where a guest really boots on it, else tcg.
tvq_accel()
{
	local tree kernel initrd dir

	if [ ! -w /dev/kvm ]; then
		echo tcg
		return
	fi
	tree=$(tvq_tree)
	kernel=$(tvq_kernel 7.2)
	initrd=$(tvq_initrd 7.2)
	dir=$(tvq_artifact "kvm-$({
		uname -r
		cat /etc/machine-id 2>/dev/null || true
		grep -m 1 "model name" /proc/cpuinfo || true
		} | tvq_hash)" tvq_kvm_make "$tree" "$kernel" "$initrd")
	cat "$dir/accel"
}

tvq_valid_kernel()
{
	case " $TVQ_KERNELS $TVQ_KERNELS_MORE " in
	*" $1 "*) ;;
	*) die "no kernel '$1': there are $TVQ_KERNELS $TVQ_KERNELS_MORE" ;;
	esac
}

tvq_shim_make()
{
	tvq_enter -b "$TVQ_TOP:/tvq/src:ro" -b "$1:/tvq/out" "$2" \
		gcc -O2 -Wall -Wextra -Werror -fPIC -shared \
		-o /tvq/out/qemu-preload.so \
		/tvq/src/scripts/testbed/qemu-preload.c
}

# tvq_shim: path of what is preloaded into QEMU.
tvq_shim()
{
	local tree dir

	tree=$(tvq_tree)
	dir=$(tvq_artifact "shim-$({
		echo "$tree"
		cat "$TVQ_TOP/scripts/testbed/qemu-preload.c"
		declare -f tvq_shim_make
		} | tvq_hash)" tvq_shim_make "$tree")
	echo "$dir/qemu-preload.so"
}
