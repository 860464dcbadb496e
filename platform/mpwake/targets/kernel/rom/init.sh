#!/bin/sh
# The first process of a machine: does what mpwake.do on the kernel's command line asks for, and tells it in the kernel's log.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
[ -c /dev/kmsg ] || mount -t devtmpfs devtmpfs /dev
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null

say() { echo "mpwake: $*" >/dev/kmsg; }

pairs() { sed -n 's/^processor[^0-9]*//p; s/^initial apicid[^0-9]*//p' | paste -s -d '=\n' | tr '\n' ' '; }

known() {
    for one in /sys/kernel/debug/x86/topo/cpus/*; do
        [ -f "$one" ] && sed -n "s/^initial_apicid:[[:space:]]*\(0x\)*/${one##*/}=0x/p" "$one"
    done | tr '\n' ' '
}

processors() {
    say cpus "$(pairs </proc/cpuinfo)"
    say known "$(known)"
    set -- /sys/devices/system/cpu/cpu[0-9]*
    say present $#
}

table() {
    [ -f /sys/firmware/acpi/tables/APIC ] && say madt "$(od -An -v -tx1 /sys/firmware/acpi/tables/APIC | tr -d ' \n')"
}

# told WHAT CODE TEXT
told() { say "$1 -> $2${3:+ $3}"; }

switch() {
    said=$( (echo "$2" >/sys/devices/system/cpu/cpu"$3"/online) 2>&1)
    told "$1 $3" $? "$said"
    processors
}

meaning() {
    case $1 in
        1) echo Operation not permitted ;;
        2) echo No such file or directory ;;
        12) echo Cannot allocate memory ;;
        16) echo Device or resource busy ;;
        22) echo Invalid argument ;;
        38) echo Function not implemented ;;
        99) echo Cannot assign requested address ;;
    esac
}

load() {
    line=$(sed 's/ *mpwake\.do=[^ ]*//g; s/ *crashkernel=[^ ]*//g' /proc/cmdline)
    kexec /kernel /initramfs "$line" "$1"
    loaded=$?
}

fill() {
    mkdir /fill
    mount -t tmpfs -o size=100% tmpfs /fill
    dd if=/dev/zero bs=64k count=16 2>/dev/null | tr '\0' M >/piece
    left=$(sed -n 's/^MemAvailable: *\([0-9]*\)[0-9][0-9][0-9] kB/\1/p' /proc/meminfo)
    left=$((left - 32))
    while [ $left -gt 0 ] && cat /piece >>/fill/all 2>/dev/null; do left=$((left - 1)); done
    told fill 0
}

act() {
    case $1 in
        on*) say do on "${1#on}"; switch on 1 "${1#on}" ;;
        off*) say do off "${1#off}"; switch off 0 "${1#off}" ;;
        fill) say do fill; fill ;;
        kexec)
            load 0
            table
            say do kexec
            [ $loaded = 0 ] && kexec
            told kexec $loaded "$(meaning $loaded)"
            ;;
        crash)
            load 2
            told load $loaded "$(meaning $loaded)"
            table
            say do crash
            echo c >/proc/sysrq-trigger
            told crash 1
            ;;
        panic*)
            say do panic "${1#panic}"
            said=$( (taskset -p $((1 << ${1#panic})) $$) 2>&1 >/dev/null)
            # No kernel goes on without its first process, and this one ends on that processor.
            [ -z "$said" ] && exit 1
            told "panic ${1#panic}" 1 "$said"
            ;;
        restart) say do restart; reboot -f; told restart 1 ;;
        poweroff) say do poweroff; poweroff -f; told poweroff 1 ;;
        *) told "$1" 1 "no such action" ;;
    esac
}

say boot "$(sed 's/ .*//' /proc/uptime)"
processors
table
asked=$(sed -n 's/.*mpwake\.do=\([^ ]*\).*/\1/p' /proc/cmdline)
for one in $(echo "$asked" | tr , ' '); do act "$one"; done
table
say done
while :; do sleep 3600; done
