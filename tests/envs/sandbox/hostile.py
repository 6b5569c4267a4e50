"""Programs that try to get out of a sandbox, to stay behind, or to take everything with them.

Each says with `escaped(...)` what it should never be able to do; a test fails where that word appears. Programs that
are refused, killed or end by themselves are contained. `pid`, `worker`, `port`, `project`, `paths` and `secret` are
facts of the host that the test puts in front, and `N` has the numbers of system calls.
"""

from __future__ import annotations

# Numbers of system calls on x86_64 and on aarch64.
_NUMBERS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capset": (126, 91),
    "clone": (56, 220),
    "execveat": (322, 281),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "inotify_init1": (294, 26),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "rt_sigqueueinfo": (129, 138),
    "seccomp": (317, 277),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}

_START = """
import ctypes, errno, os, resource, signal, socket, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def escaped(*what): print("ESCAPED", *what, flush=True)
def attempt(what, function, *arguments):
    try:
        result = function(*arguments)
    except BaseException as error:
        print("refused", what, type(error).__name__, flush=True)
    else:
        escaped(what, result)
def call(what, number, *arguments):
    result = libc.syscall(number, *arguments)
    print("refused", what, ctypes.get_errno(), flush=True) if result == -1 else escaped(what, result)
"""

# What each tries, by its name. Whatever it is, the next program must find a healthy sandbox.
_PROGRAMS = {
    # Taking everything.
    "fork bomb": "while True:\n    try: os.fork()\n    except OSError: pass",
    "fork bomb that ends": "for _ in range(10):\n    try: os.fork()\n    except OSError: pass",
    "thread bomb": """
while True:
    try: threading.Thread(target=time.sleep, args=(60,)).start()
    except RuntimeError: pass
""",
    "memory bomb": "held = []\nwhile True: held.append(bytearray(1 << 20))",
    "memory bomb that catches": """
held = []
while True:
    try: held.append(bytearray(1 << 20))
    except MemoryError: pass
""",
    "memory bomb of many processes": """
held = []
for _ in range(6):
    if not os.fork(): break
while True:
    try: held.append(b"x" * (1 << 20))
    except MemoryError: time.sleep(0.1)
""",
    "shared memory": """
import mmap
held = []
for _ in range(200):
    try: held.append(mmap.mmap(-1, 8 << 20)); held[-1][:] = b"x" * (8 << 20)
    except BaseException: break
print(len(held))
if len(held) > 64: escaped("memory", len(held))
""",
    "memory of no folder": "attempt('memfd', os.memfd_create, 'x')",
    "shared memory segments": "call('shmget', N['shmget'], 0, 1 << 24, 0o1600)",
    "message queues": "call('msgget', N['msgget'], 0, 0o1600)",
    "large pipes": """
import fcntl
attempt("pipe size", fcntl.fcntl, os.pipe()[0], 1031, 1 << 20)
""",
    "large number": "9 ** 9 ** 9",
    "disk filler": """
written = 0
try:
    for number in range(1000):
        with open(str(number), "wb") as file: written += file.write(b"x" * (1 << 20))
except OSError as error: print("refused", error.errno)
if written > 64 << 20: escaped(written)
""",
    "one large file": """
try:
    with open("large", "wb") as file: file.seek(1 << 40); file.write(b"x")
    escaped("sparse")
except OSError as error: print("refused", error.errno)
""",
    "many files": """
count = 0
try:
    while count < 200000: open(f"f{count}", "w").close(); count += 1
except OSError as error: print("refused", error.errno)
if count >= 200000: escaped(count)
""",
    "many open files": """
held = []
try:
    while len(held) < 5000: held.append(open("/dev/null"))
except OSError as error: print("refused", error.errno)
if len(held) >= 5000: escaped(len(held))
""",
    "endless output": "while True: print('x' * 1000)",
    "endless errors": "while True: print('x' * 1000, file=sys.stderr)",
    "endless loop": "while True: pass",
    "endless sleep": "time.sleep(10 ** 6)",
    "raising its limits": """
for name in ("CPU", "AS", "NPROC", "FSIZE", "NOFILE"):
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    attempt(name, resource.setrlimit, getattr(resource, f"RLIMIT_{name}"), endless)
call("prlimit of another", N['prlimit64'], pid, 7, 0, 0)
""",
    # Staying behind.
    "sleeping children": "for _ in range(3):\n    if not os.fork(): time.sleep(10 ** 6)\nos._exit(0)",
    "daemon": """
if not os.fork():
    os.setsid()
    if not os.fork():
        for descriptor in (0, 1, 2): os.close(descriptor)
        time.sleep(10 ** 6)
    os._exit(0)
os._exit(0)
""",
    "thread that stays": "threading.Thread(target=time.sleep, args=(10 ** 6,)).start()",
    "daemon thread": "threading.Thread(target=time.sleep, args=(10 ** 6,), daemon=True).start()",
    "child that keeps writing": """
if not os.fork():
    while True:
        os.write(1, b"x")
        time.sleep(0.01)
os._exit(0)
""",
    "child that holds the pipes": "if not os.fork():\n    os.setsid(); signal.pause()\nos._exit(0)",
    "exit that never ends": "import atexit\natexit.register(time.sleep, 10 ** 6)",
    "object that resurrects itself": "class A:\n    def __del__(self): A()\nA()",
    # Signals.
    "ignoring signals": """
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
    "blocking signals": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    "stopping itself": "os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(10 ** 6)",
    "killing everybody": """
for process, number in ((-1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGKILL), (-1, signal.SIGSTOP)):
    try: os.kill(process, number)
    except ProcessLookupError: print("refused", process)
""",
    "killing the parent": """
for process in (os.getppid(), pid, worker, 2, 3):
    if process > 1: attempt(f"kill {process}", os.kill, process, signal.SIGKILL)
""",
    "signals by other ways": """
import fcntl
descriptor = os.pipe()[0]
attempt("owner", fcntl.fcntl, descriptor, fcntl.F_SETOWN, pid)
call("pidfd_open", 434, pid, 0)
call("rt_sigqueueinfo", N['rt_sigqueueinfo'], pid, 9, 0)
""",
    # Files.
    "reading the host": """
for path in paths:
    attempt(path, lambda: open(path).read(100))
    attempt(path, os.stat, path)
""",
    "listing the host": """
for path in ("/", "/root", "/home", "/etc", "/work", "/usr/bin", "/opt", "/var", "/..", "/tmp/.."):
    attempt(path, os.listdir, path)
""",
    "writing the host": """
for path in (*paths, "/etc/x", "/x", "/usr/lib/x", os.__file__, sys.executable):
    attempt(path, lambda: open(path, "a"))
""",
    "environment": "if secret in repr(os.environ) or secret in repr(sys.argv): escaped('environment')",
    "symlink out": """
os.symlink("/", "root")
for path in ("root/etc/passwd", "root/proc/1/environ", f"root{project}/pyproject.toml"):
    attempt(path, lambda: open(path).read())
os.symlink(paths[0], "file")
attempt("file", lambda: open("file").read())
attempt("hard link", os.link, os.__file__, "module")
""",
    "symlink in place of the scratch folder": """
os.chdir("/")
attempt("rmdir", os.rmdir, "/tmp")
attempt("rename", os.rename, "/tmp", "/other")
attempt("symlink", os.symlink, "/etc", "/tmp2")
""",
    "deleting the scratch folder": """
import shutil
open("file", "w").close()
shutil.rmtree("/tmp", ignore_errors=True)
attempt("rmdir", os.rmdir, "/tmp")
""",
    "procfs": """
for path in ("/proc/self/environ", "/proc/1/environ", "/proc/self/root/etc/passwd", "/proc/self/mem", "/proc/self/fd",
             f"/proc/{pid}/root/etc/passwd", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel"):
    attempt(path, os.open, path, os.O_RDONLY)
attempt("mount proc", lambda: libc.mount(b"proc", b"/tmp", b"proc", 0, None) == 0 or 1 / 0)
""",
    "inherited descriptors": """
for descriptor in range(3, 1024):
    attempt(descriptor, os.fstat, descriptor)
os.dup2(0, 0)
attempt("writing to its input", os.write, 0, b"x")
""",
    "devices": """
for path in ("/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/tty", "/dev/ptmx", "/dev/fuse", "/dev/kvm"):
    attempt(path, os.open, path, os.O_RDONLY)
attempt("device", os.mknod, "disk", 0o600 | 0o060000, os.makedev(8, 0))
""",
    "setuid files": """
open("x", "w").close()
attempt("chown", os.chown, "x", 0, 0)
os.chmod("x", 0o6777)
attempt("run", os.execv, "/tmp/x", ["x"])
""",
    # The kernel.
    "sockets of every family": """
for family in range(0, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        attempt((family, kind), socket.socket, family, kind)
    if family != socket.AF_UNIX: attempt(family, socket.socketpair, family)
""",
    "a socket pair that leaves its partner": """
pair = socket.socketpair()
attempt("connect", pair[0].connect, "/run/dbus/system_bus_socket")
attempt("bind", pair[0].bind, "\\0hidden")
attempt("sendto", pair[0].sendto, b"x", "/run/x")
attempt("sendmsg", pair[0].sendmsg, [b"x"])
attempt("datagrams", socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)
""",
    "network": """
import urllib.request
attempt("url", urllib.request.urlopen, f"http://127.0.0.1:{port}/", None, 2)
attempt("name", socket.create_connection, ("127.0.0.1", port), 2)
""",
    "ptrace": """
for request in (0, 16, 0x4206):
    for process in (0, 1, pid, os.getppid()):
        call("ptrace", N["ptrace"], request, process, 0, 0)
""",
    "memory of others": """
call("process_vm_readv", N['process_vm_readv'], pid, 0, 0, 0, 0, 0)
call("process_vm_writev", N['process_vm_writev'], pid, 0, 0, 0, 0, 0)
call("kcmp", N['kcmp'], 1, pid, 0, 0, 0)
call("pidfd_getfd", 438, 0, 0, 0)
""",
    "new namespaces": """
for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x04000000, 0x08000000, 0x02000000, 0x80):
    call("unshare", N['unshare'], flag)
    call("clone", N['clone'], flag | 17, 0, 0, 0, 0)
call("setns", N['setns'], 0, 0)
call("clone3", 435, 0, 0)
""",
    "mounts and roots": """
call("mount", N['mount'], b"none", b"/tmp", b"tmpfs", 0, 0)
call("umount", N['umount2'], b"/tmp", 2)
call("pivot_root", N['pivot_root'], b"/tmp", b"/tmp")
attempt("chroot", os.chroot, "/tmp")
call("open_tree", 428, -100, b"/", 1)
call("move_mount", 429, 0, 0, 0, 0, 0)
call("fsopen", 430, b"tmpfs", 0)
call("mount_setattr", 442, -100, b"/", 0, 0, 0)
""",
    "other users": """
for name in ("setuid", "setgid", "seteuid", "setegid"): attempt(name, getattr(os, name), 0 if os.getuid() else 1)
attempt("setgroups", os.setgroups, [0])
call("capset", N['capset'], 0, 0)
call("prctl", N['prctl'], 8, 1, 0, 0, 0)
""",
    "running programs": """
attempt("system", lambda: os.system("true") == 0 or 1 / 0)
attempt("run", subprocess.run, [sys.executable, "-c", "pass"])
attempt("shell", subprocess.run, "true")
attempt("spawn", os.posix_spawn, sys.executable, ["python"], {})
call("execveat", N['execveat'], -100, sys.executable.encode(), 0, 0, 0)
""",
    "rare system calls": """
for name, number in dict(bpf=N['bpf'], keyctl=N['keyctl'], add_key=N['add_key'], perf_event_open=N['perf_event_open'],
                         userfaultfd=N['userfaultfd'], io_uring_setup=425, init_module=N['init_module'],
                         kexec_load=N['kexec_load'], reboot=N['reboot'], swapon=N['swapon'], syslog=N['syslog'],
                         personality=N['personality'], open_by_handle_at=N['open_by_handle_at'],
                         quotactl=N['quotactl'], landlock_create_ruleset=444, seccomp=N['seccomp'], memfd_secret=447,
                         settimeofday=N['settimeofday'], sethostname=N['sethostname'],
                         inotify_init1=N['inotify_init1'], fanotify_init=N['fanotify_init']).items(): call(name,
                         number, 0, 0, 0, 0, 0)
""",
    "terminals": """
import fcntl, termios
for descriptor in (0, 1, 2):
    attempt("type for the user", fcntl.ioctl, descriptor, termios.TIOCSTI, b"x")
""",
    "calls by the numbers of another architecture": """
import mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("b814000000cd80c3"))
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
result = function()
escaped("32 bit", result)
""",
    "writing into its own machine code": """
code = ctypes.c_char.in_dll(ctypes.pythonapi, "Py_Version")
ctypes.memset(ctypes.addressof(code) & ~0xfff, 0, 1 << 20)
""",
    "crashing": "ctypes.string_at(0)",
    "deep recursion in C": "value = []\nfor _ in range(10 ** 6): value = [value]\nrepr(value)",
    "looking for the worker": """
import gc
names = [name for name in sys.modules if "envs" in name or "sandbox" in name]
if names: print("modules", names)
for held in gc.get_objects():
    if isinstance(held, socket.socket): escaped("socket", held) if held.fileno() >= 0 else None
frame = sys._getframe()
while frame.f_back:
    frame = frame.f_back
    for name, value in list(frame.f_locals.items()):
        if isinstance(value, socket.socket): attempt(name, value.send, b"{}")
""",
    "going on as the worker": """
import ctypes
frame = sys._getframe()
while frame.f_back:
    frame = frame.f_back
    if frame.f_code.co_name == "be_program":
        frame.f_globals["os"]._exit = lambda code: None
""",
}

PROGRAMS = {name: _START + body for name, body in _PROGRAMS.items()}


def numbers(machine: str) -> dict[str, int]:
    """The numbers of system calls on a machine."""
    return {name: number[machine == "aarch64"] for name, number in _NUMBERS.items()}


# How programs end that do not end by themselves or in one way only. The others end with an exit code or a signal.
ENDINGS = {
    "memory bomb that catches": {"time", "processor time", "memory"},
    "object that resurrects itself": {"time", "processor time"},
    "fork bomb": {"time", "processor time"},
    "fork bomb that ends": {"ok"},
    "thread bomb": {"time", "processor time"},
    "memory bomb": {"error", "memory"},
    "memory bomb of many processes": {"memory"},
    "large number": {"processor time", "time", "error", "memory"},
    "endless output": {"output"},
    "endless errors": {"output"},
    "endless loop": {"processor time", "time"},
    "endless sleep": {"time"},
    "sleeping children": {"ok"},
    "daemon": {"ok"},
    "thread that stays": {"time"},
    "daemon thread": {"ok"},
    "child that keeps writing": {"ok"},
    "child that holds the pipes": {"ok"},
    "exit that never ends": {"time"},
    "ignoring signals": {"processor time", "time"},
    "blocking signals": {"processor time", "time"},
    "stopping itself": {"time"},
    "crashing": {"signal"},
    "calls by the numbers of another architecture": {"signal", "error"},
}
