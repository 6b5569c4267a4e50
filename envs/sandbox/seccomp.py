"""A seccomp filter of system calls: what an ordinary Python program needs is allowed, everything else fails.

The filter is an allow-list (seccomp(2), classic BPF), so calls that future kernels bring are refused too. Refused calls
fail with EPERM; nothing is killed, so that a program sees an ordinary error. Some calls are allowed for some arguments
only: no new namespaces, only connected local socket pairs, only one's own limits, no ioctl but the plain ones. Sockets,
ptrace, starting other programs, mounts, keys, io_uring, shared memory segments and the like are not on the list.

Runs inside a sandbox's worker, so it needs nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import platform

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Name and number on x86_64 and on aarch64, "-" where the architecture has no such call.
_TABLE = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, open 2 -, openat 257 56,
close 3 57, close_range 436 436, creat 85 -, stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291,
lseek 8 62, access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getcwd 79 17,
chdir 80 49, fchdir 81 50, rename 82 -, renameat 264 38, renameat2 316 276, mkdir 83 -, mkdirat 258 34,
rmdir 84 -, unlink 87 -, unlinkat 263 35, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, chmod 90 -,
fchmod 91 52, fchmodat 268 53, truncate 76 45, ftruncate 77 46, fallocate 285 47, utime 132 -, utimes 235 -,
utimensat 280 88, getdents 78 -, getdents64 217 61, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59,
flock 73 32, fsync 74 82, fdatasync 75 83, sendfile 40 71, copy_file_range 326 285, statfs 137 43,
fstatfs 138 44, umask 95 166, mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233,
brk 12 214, msync 26 227, mincore 27 232, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139,
rt_sigpending 127 136, rt_sigsuspend 130 133, rt_sigtimedwait 128 137, sigaltstack 131 132,
restart_syscall 219 128, kill 62 129, tkill 200 130, tgkill 234 131, alarm 37 -, pause 34 -, setitimer 38 103,
getitimer 36 102, fork 57 -, vfork 58 -, exit 60 93, exit_group 231 94, wait4 61 260, waitid 247 95,
getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174, geteuid 107 175, getgid 104 176,
getegid 108 177, getresuid 118 148, getresgid 120 150, getgroups 115 158, getpgrp 111 -, getpgid 121 155,
getsid 124 156, setpgid 109 154, setsid 112 157, futex 202 98, set_robust_list 273 99, get_robust_list 274 100,
set_tid_address 218 96, rseq 334 293, sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121,
sched_getscheduler 145 120, sched_get_priority_max 146 125, sched_get_priority_min 147 126,
getpriority 140 141, nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, times 100 153, getrusage 98 165, getrlimit 97 163, uname 63 160,
sysinfo 99 179, getrandom 318 278, getcpu 309 168, membarrier 324 283, select 23 -, pselect6 270 72, poll 7 -,
ppoll 271 73, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22,
eventfd2 290 19, recvfrom 45 207, shutdown 48 210, clone 56 220, clone3 435 435, socketpair 53 199,
prlimit64 302 261, ioctl 16 29, fcntl 72 25, sendto 44 206
"""

_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_NAMESPACE_FLAGS = 0x7E020080
_LOCAL, _STREAM, _SEQUENCED = 1, 1, 5
_PLAIN_IOCTLS = {
    "TCGETS": 0x5401,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
_SET_PIPE_SIZE = 1031
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_Instruction = tuple[int, int, int, int]


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class _BPF(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


def supported(machine: str) -> bool:
    """Whether the numbers of this architecture's system calls are known here."""
    return machine in _AUDIT_ARCHITECTURE


def numbers(machine: str) -> dict[str, int]:
    """Returns the numbers of the allowed system calls, by their names.

    Args:
        machine: "x86_64" or "aarch64".
    """
    column = 1 + list(_AUDIT_ARCHITECTURE).index(machine)
    rows = [entry.split() for entry in _TABLE.replace("\n", " ").split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def instructions(machine: str) -> list[_Instruction]:
    """Writes the filter: (code, jump if true, jump if false, value) an instruction."""
    known = numbers(machine)
    special = _special_cases()
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT_ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for name, number in known.items():
        body = special.get(name, [(_RETURN, 0, 0, _ALLOW)])
        program += [(_EQUAL, 0, len(body), number), *body]
    return [*program, (_RETURN, 0, 0, _REFUSE | errno.EPERM)]


def install(program: list[_Instruction]) -> None:
    """Puts the filter on this process and its children, for good.

    Raises:
        OSError: the kernel refuses.
    """
    array = (_BPF * len(program))(*(_BPF(*instruction) for instruction in program))
    described = _Filter(len(program), ctypes.addressof(array))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(described), 0, 0) == -1:
        raise OSError(ctypes.get_errno(), "the kernel refuses a seccomp filter")


def this_machine() -> str:
    """Returns the architecture of this process."""
    return platform.machine()


def _special_cases() -> dict[str, list[_Instruction]]:
    """Returns what decides about calls that are allowed for some arguments only; each body ends in a return."""
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    plain = list(_PLAIN_IOCTLS.values())
    return {
        # The C library falls back to clone, whose flags can be looked at.
        "clone3": [(_RETURN, 0, 0, _REFUSE | errno.ENOSYS)],
        "clone": [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACE_FLAGS), refuse, allow],
        "socketpair": [
            *(_argument(0), (_EQUAL, 1, 0, _LOCAL), refuse),
            *(_argument(1), (_AND, 0, 0, 0xF), (_EQUAL, 2, 0, _STREAM), (_EQUAL, 1, 0, _SEQUENCED), refuse, allow),
        ],
        # An address would let a socket reach another than its pair.
        "sendto": [
            *(_argument(4), (_EQUAL, 1, 0, 0), refuse),
            *(_argument(4, upper=True), (_EQUAL, 1, 0, 0), refuse, allow),
        ],
        "prlimit64": [_argument(0), (_EQUAL, 1, 0, 0), refuse, allow],
        "ioctl": [
            _argument(1),
            *((_EQUAL, len(plain) - place, 0, value) for place, value in enumerate(plain)),
            refuse,
            allow,
        ],
        # Memory of enlarged pipes would count for nobody.
        "fcntl": [_argument(1), (_EQUAL, 0, 1, _SET_PIPE_SIZE), refuse, allow],
    }


def _argument(place: int, upper: bool = False) -> _Instruction:
    """Loads half of an argument. Both architectures store the lower half first."""
    return (_LOAD, 0, 0, 16 + 8 * place + (4 if upper else 0))
