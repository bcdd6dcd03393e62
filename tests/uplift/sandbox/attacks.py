"""What hostile programs try. Each prints BREACH where it gets through; `{NAME}` stands for a thing of the host.

An attack is (statuses that are right, exit code that is right or None for any, source).
"""

from __future__ import annotations

LIMITS = {
    "cpu_seconds": 1.5,
    "wall_seconds": 3.0,
    "memory_bytes": 128 << 20,
    "processes": 8,
    "file_bytes": 1 << 20,
    "output_bytes": 1 << 16,
    "tmp_bytes": 4 << 20,
}

PRELUDE = """
import ctypes, os, signal, socket, sys, time
with open("/proc/self/comm", "w") as f: f.write("{MARKER}")
libc = ctypes.CDLL(None, use_errno=True)
def breach(what): print("BREACH", what, flush=True)
def must_fail(what, call, *args):
    try: call(*args)
    except (OSError, ValueError, KeyError, OverflowError): return
    breach(what)
"""

ATTACKS: dict[str, tuple[set[str], int | None, str]] = {
    # too much
    "fork bomb": (
        {"timeout", "memory"},
        None,
        """
while True:
    try: os.fork()
    except OSError: pass
""",
    ),
    "fork and leave": (
        {"exited"},
        0,
        """
while True:
    try:
        if os.fork(): os._exit(0)
    except OSError: pass
""",
    ),
    "thread bomb": (
        {"exited"},
        3,
        """
import threading
made = 0
try:
    while made < 100:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        made += 1
except RuntimeError: pass
if made > 8: breach(made)
os._exit(3)
""",
    ),
    "memory bomb": ({"memory"}, 1, "x = []\nwhile True: x.append(bytearray(1 << 20))"),
    "memory bomb of many": (
        {"memory"},
        None,
        """
for _ in range(5):
    if not os.fork(): break
x = bytearray(b"x") * (75 << 20)
time.sleep(60)
""",
    ),
    "memory out of sight": (
        {"exited"},
        3,
        """
must_fail("memfd", os.memfd_create, "x")
if libc.shmget(0, 1 << 20, 0o1600) >= 0: breach("shmget")
if libc.syscall(240 if os.uname().machine == "x86_64" else 180, b"q", 0o102, 0o600, None) >= 0: breach("mq_open")
sys.exit(3)
""",
    ),
    "endless output": ({"output"}, None, "while True: print('x' * 1000)"),
    "endless errors": ({"output"}, None, "while True: print('x' * 1000, file=sys.stderr)"),
    "much output, then sleep": ({"output"}, None, "print('x' * 100_000, flush=True)\ntime.sleep(60)"),
    "endless loop": ({"timeout"}, None, "while True: pass"),
    "endless sleep": ({"timeout"}, None, "time.sleep(1000)"),
    "endless thread": ({"timeout"}, None, "import threading\nthreading.Thread(target=time.sleep, args=(99,)).start()"),
    "endless exit": ({"timeout"}, None, "import atexit\natexit.register(time.sleep, 99)"),
    "endless compile": (
        {"timeout", "memory", "killed", "exited"},
        None,
        "x = compile('(' * 150 + '1,' * 3_000_000 + ')' * 150, 'x', 'eval')\nsys.exit(3)",
    ),
    "deaf to signals": (
        {"timeout"},
        None,
        """
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(number, signal.SIG_IGN)
while True: pass
""",
    ),
    "work in relays": (
        {"timeout"},
        None,
        """
while True:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    else:
        start = time.process_time()
        while time.process_time() - start < 0.1: pass
        os._exit(0)
""",
    ),
    "stops itself": ({"timeout"}, None, "os.kill(os.getpid(), signal.SIGSTOP)"),
    "fills the disk": (
        {"exited"},
        3,
        """
written = 0
try:
    for number in range(100):
        with open(f"/tmp/{number}", "wb", buffering=0) as f: written += f.write(bytes(1 << 19))
except OSError: pass
if written > 4 << 20: breach(written)
for number in range(100):
    try: os.remove(f"/tmp/{number}")
    except OSError: pass
try:
    with open("/tmp/long", "wb", buffering=0) as f:
        while f.write(bytes(1 << 16)): pass
except OSError: pass
if os.path.getsize("/tmp/long") > 1 << 20: breach("file size")
sys.exit(3)
""",
    ),
    "raises its limits": (
        {"exited"},
        3,
        """
import resource
for name in ("CPU", "AS", "FSIZE", "NPROC", "NOFILE", "CORE"):
    kind = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY: breach(name)
    must_fail(name, resource.setrlimit, kind, (hard + 1, hard + 1))
    must_fail(name + " off", resource.setrlimit, kind, (-1, -1))
sys.exit(3)
""",
    ),
    # staying
    "child that outlives it": ({"exited"}, 0, "if not os.fork(): time.sleep(600)"),
    "daemon": (
        {"exited"},
        0,
        """
if not os.fork():
    os.setsid()
    if not os.fork():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 64)
        time.sleep(600)
    os._exit(0)
os.wait()
""",
    ),
    # the network
    "tcp": (
        {"exited"},
        3,
        """
must_fail("loopback of the host", socket.create_connection, ("127.0.0.1", {PORT}), 1)
must_fail("by number", lambda: socket.socket(socket.AF_INET).connect(("1.1.1.1", 53)))
must_fail("v6", lambda: socket.socket(socket.AF_INET6).connect(("::1", {PORT})))
must_fail("listening", lambda: socket.create_server(("127.0.0.1", 0)))
sys.exit(3)
""",
    ),
    "udp": (
        {"exited"},
        3,
        """
must_fail("udp", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {PORT})))
sys.exit(3)
""",
    ),
    "dns": (
        {"exited"},
        3,
        """
must_fail("dns", lambda: socket.getaddrinfo("example.com", 80))
must_fail("gethostbyname", lambda: socket.gethostbyname("example.com"))
sys.exit(3)
""",
    ),
    "unix sockets of the host": (
        {"exited"},
        3,
        """
for address in ("{SOCKET}", "\\0{SOCKET}", "/run/systemd/private", "/var/run/docker.sock"):
    must_fail(address, lambda: socket.socket(socket.AF_UNIX).connect(address))
sys.exit(3)
""",
    ),
    "other families": (
        {"exited"},
        3,
        """
for family in set(range(46)) - {socket.AF_UNIX}:
    for kind in (1, 2, 3, 5):
        must_fail((family, kind), socket.socket, family, kind, 0)
sys.exit(3)
""",
    ),
    # reading
    "reads files": (
        {"exited"},
        3,
        """
import glob
system = ("/etc/passwd", "/etc/shadow", "/home", "/var", "/sys", "/run", "/boot", "/mnt")
for path in ("{SECRET}", "{PROJECT}", "{HOME}", *system):
    if os.path.exists(path) and path != "{HOME}": breach(path)
    for way in ("/proc/1/root", "/proc/self/root/..", "/proc/self/cwd/../..", "/tmp/../.."):
        must_fail(way + path, lambda: open(way + path + "/x").close())
for folder in ("{HOME}", os.path.dirname("{SECRET}"), "/etc"):
    found = [name for name in glob.glob(folder + "/*") + glob.glob(folder + "/.*")]
    for path in found:
        if os.path.isfile(path) and not path.startswith((sys.prefix, "/etc/ld.so.cache")): breach(path)
sys.exit(3)
""",
    ),
    "reads the environment": (
        {"exited"},
        3,
        """
if dict(os.environ): breach(dict(os.environ))
for path in ("/proc/self/environ", "/proc/1/environ", "/proc/1/cmdline", "/proc/self/cmdline"):
    try: text = open(path, "rb").read()
    except OSError: continue
    if b"secret" in text.lower(): breach(path)
sys.exit(3)
""",
    ),
    "reads what others hold": (
        {"exited"},
        3,
        """
others = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}
if others != {1}: breach(others)
for name in ("mem", "maps", "environ", "auxv", "stack", "syscall", "io"):
    must_fail(name, lambda: open(f"/proc/1/{name}", "rb").read(1))
for name in ("fd", "fdinfo", "map_files", "task/1/fd"): must_fail(name, lambda: os.listdir(f"/proc/1/{name}"))
for name in ("cwd", "root", "exe", "ns/pid"): must_fail(name, lambda: os.readlink(f"/proc/1/{name}"))
for number in range(64): must_fail(number, lambda: open(f"/proc/1/fd/{number}", "rb"))
must_fail("pid of the caller", os.kill, {CALLER}, 0)
must_fail("/proc of the caller", os.listdir, "/proc/{CALLER}")
sys.exit(3)
""",
    ),
    "reads an earlier run": (
        {"exited"},
        3,
        """
import re
needle = re.compile(rb"needle-[0-9]{6}")
for line in open("/proc/self/maps"):
    span, rights = line.split()[:2]
    first, last = (int(end, 16) for end in span.split("-"))
    if rights[0] != "r" or "[v" in line: continue
    with open("/proc/self/mem", "rb", 0) as mem:
        mem.seek(first)
        try: found = needle.search(mem.read(last - first))
        except (OSError, OverflowError, ValueError): continue
    if found: breach(found.group())
if os.listdir("/tmp") != ["main.py"]: breach(os.listdir("/tmp"))
sys.exit(3)
""",
    ),
    "reads open descriptors": (
        {"exited"},
        3,
        """
for number in range(3, 1024): must_fail(number, os.fstat, number)
sys.exit(3)
""",
    ),
    # writing
    "writes outside": (
        {"exited"},
        3,
        """
for folder, folders, files in os.walk("/"):
    if folder == "/": folders[:] = [name for name in folders if name not in ("proc", "tmp")]
    if folder.count("/") > 4: folders[:] = []
    path = os.path.join(folder, "{MARKER}")
    for call in (os.mkdir, os.mkfifo, lambda path: open(path, "w"), lambda path: os.symlink("/", path)):
        must_fail(path, call, path)
    must_fail(folder, os.chmod, folder, 0o777)
    must_fail(folder, os.utime, folder)
    for name in files[:3]:
        path = os.path.join(folder, name)
        if folder == "/dev": continue
        for call in (os.remove, os.utime, lambda path: open(path, "a"), lambda path: os.truncate(path, 0)):
            must_fail(path, call, path)
sys.exit(3)
""",
    ),
    "writes to the kernel": (
        {"exited"},
        3,
        """
for path in ("sysrq-trigger", "sys/kernel/hostname", "sys/kernel/core_pattern", "sys/vm/drop_caches",
             "1/oom_score_adj", "1/comm", "1/mem", "sys/user/max_user_namespaces", "sys/kernel/ns_last_pid",
             "self/uid_map", "1/setgroups"):
    must_fail(path, lambda: os.write(os.open("/proc/" + path, os.O_WRONLY), b"1"))
must_fail("host name", socket.sethostname, "x")
must_fail("clock", time.clock_settime, time.CLOCK_REALTIME, 0)
for name in ("tty", "mem", "kmsg", "vda", "ptmx", "fuse", "kvm"): must_fail(name, os.open, "/dev/" + name, os.O_RDWR)
must_fail("device", os.mknod, "/tmp/disk", 0o60666, os.makedev(8, 0))
sys.exit(3)
""",
    ),
    "symlinks": (
        {"exited"},
        3,
        """
os.remove("main.py")
os.symlink("{SECRET}", "main.py")
os.symlink("/", "root")
os.symlink("/proc/1/root", "init")
os.symlink("/proc/1/fd/0", "channel")
for path in ("main.py", "root{SECRET}", "init{SECRET}", "channel", "init/tmp/main.py"):
    must_fail("reading " + path, lambda: open(path).read())
for path in ("main.py", "root/{MARKER}", "init/{MARKER}", "channel"):
    must_fail("writing " + path, lambda: open(path, "w"))
must_fail("hard link", os.link, sys.executable, "/tmp/python")
must_fail("moving /tmp", os.rename, "/tmp", "/tmp2")
must_fail("removing /tmp", os.rmdir, "/tmp")
sys.exit(3)
""",
    ),
    # the supervisor
    "kills everybody": (
        {"exited"},
        3,
        """
for number in signal.valid_signals():
    for pid in (1, -1, os.getppid()):
        try: os.kill(pid, number)
        except OSError: pass
for pid in range(1, 70_000):
    if pid != os.getpid():
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass
time.sleep(0.1)
if os.getppid() != 1: breach("killed")
sys.exit(3)
""",
    ),
    "starves its watcher": (
        {"exited"},
        3,
        """
import resource
limit = (ctypes.c_ulong * 2)(0, 0)
for kind in range(16):
    if libc.prlimit(1, kind, limit, None) == 0: breach(kind)
    must_fail(kind, resource.prlimit, 1, kind, (0, 0))
sys.exit(3)
""",
    ),
    "traces": (
        {"exited"},
        3,
        """
for request, pid in ((16, 1), (0x4206, 1), (0, 0), (16, os.getppid())):
    if libc.ptrace(request, pid, None, None) == 0: breach((request, pid))
buffer = ctypes.create_string_buffer(8)
vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
if libc.process_vm_readv(1, vector, 1, vector, 1, 0) > 0: breach("memory")
try:
    init = os.pidfd_open(1)
    for number in range(32):
        if libc.syscall(438, init, number, 0) >= 0: breach("descriptor")
except OSError: pass
sys.exit(3)
""",
    ),
    "forges a result": (
        {"exited"},
        3,
        """
import struct
forged = b"S" + struct.pack("!BidQQ", 0, 0, 0.1, 7, 0) + b"forged\\n"
for number in range(1, 1024):
    try: os.write(number, forged)
    except OSError: pass
for number in range(64):
    for owner in ("self", "1"):
        try: os.write(os.open(f"/proc/{owner}/fd/{number}", os.O_WRONLY), forged)
        except OSError: pass
sys.exit(3)
""",
    ),
    "patches everything": (
        {"exited"},
        None,  # its exit code is its own affair, as with os._exit
        """
import builtins, gc, types
functions = [item for item in gc.get_objects() if isinstance(item, types.FunctionType)]
ours = [function for function in functions if str(function.__module__).startswith("rm.")]
for function in ours: function.__code__ = (lambda *a, **k: b"").__code__
os._exit = lambda code: None
builtins.len = builtins.any = builtins.open = lambda *a, **k: 0
sys.exit(3)
""",
    ),
    "closes its descriptors": ({"exited"}, 4, "os.closerange(0, 1024)\nos._exit(4)"),
    "deletes its files": ({"exited"}, 0, "import shutil\nshutil.rmtree('/tmp', ignore_errors=True)"),
    "leaves early": ({"exited"}, 0, "sys.stdout.write('never told')\nos._exit(0)"),
    "kills itself": ({"killed"}, -9, "os.kill(os.getpid(), signal.SIGKILL)"),
    "crashes": ({"killed"}, -11, "ctypes.string_at(0)"),
    # rights
    "gains rights": (
        {"exited"},
        3,
        """
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    if name.startswith("Cap") and int(value, 16): breach(line)
    if name == "NoNewPrivs" and int(value) != 1: breach(line)
    if name == "Seccomp" and int(value) != 2: breach(line)
if 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups()): breach("root")
must_fail("setuid", os.setuid, 0)
must_fail("setgid", os.setgid, 0)
must_fail("chroot", os.chroot, "/tmp")
must_fail("nice", os.nice, -5)
sys.exit(3)
""",
    ),
    "enters namespaces": (
        {"exited"},
        3,
        """
for flag in (0x10000000, 0x10020000, 0x20000000, 0x40000000, 0x00020000):
    if libc.unshare(flag) == 0: breach(("unshare", flag))
    child = libc.syscall(56 if os.uname().machine == "x86_64" else 220, flag | signal.SIGCHLD, None, None, None, None)
    if child == 0: os._exit(0)
    if child > 0: breach(("clone", flag))
for name in os.listdir("/proc/self/ns"):
    if libc.setns(os.open("/proc/self/ns/" + name, os.O_RDONLY), 0) == 0: breach(name)
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0: breach("mount")
if libc.umount2(b"/tmp", 2) == 0: breach("umount")
sys.exit(3)
""",
    ),
    "corners of the kernel": (
        {"exited"},
        3,
        """
numbers = (219, 217, 280, 241, 282, 425, 262)
if os.uname().machine == "x86_64": numbers = (250, 248, 321, 298, 323, 425, 300, 435, 0x40000000 + 39)
for number in numbers:
    refused = libc.syscall(number, 0, 0, 0, 0, 0) < 0 and ctypes.get_errno() in (1, 38)
    if not refused: breach(number)
sys.exit(3)
""",
    ),
    "starts another program": (
        {"exited"},
        3,
        """
for path in ("/bin/sh", "/usr/bin/env", "/usr/bin/bwrap"): must_fail(path, os.execv, path, [path])
os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", '''
import os, resource, sys
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    if name.startswith("Cap") and int(value, 16) or name == "Seccomp" and int(value) != 2: print("BREACH", line)
if resource.getrlimit(resource.RLIMIT_AS)[1] != 128 << 20: print("BREACH limits")
sys.exit(3)'''])
""",
    ),
}


def source(attack: str, things: dict[str, str]) -> str:
    """The program, with the host's things and a process name by which it can be found."""
    text = PRELUDE + ATTACKS[attack][2]
    for name, value in {**things, "MARKER": marker(attack)}.items():
        text = text.replace("{" + name + "}", value)
    return text


def marker(attack: str) -> str:
    """A process name (at most 15 bytes), also used in names of files."""
    return f"tl-attack-{list(ATTACKS).index(attack):03}"
