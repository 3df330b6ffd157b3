"""Runs the servers of one Swift cluster as children of one process: python3 launcher.py DIRECTORY

Swift reads /etc/swift/swift.conf whatever it is told; here that name is replaced before anything of Swift looks at
it, so that clusters live side by side and nothing outside DIRECTORY is read. Swift is imported once and every
server is a fork, which makes a start cheap.

DIRECTORY/rings.json says which devices there are. Commands come on standard input, one a line, each answered by one
line: `start NAME FILE ARGUMENTS...` (a Swift program of /usr/bin, or a program with a full path), `signal NAME
NUMBER`, `kill NAME`. At the end of standard input, however it comes, every server is killed and
DIRECTORY removed.
"""
import ctypes
import json
import os
import runpy
import shutil
import signal
import sys
import traceback

HOME = sys.argv[1]
PR_SET_PDEATHSIG = 1
children = {}


def isolate(log):
    """In a child: dies with the launcher, reads nothing, writes to its log."""
    launcher = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if launcher == 1 or os.getppid() != launcher:
        os._exit(1)
    null = os.open('/dev/null', os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)


def start(name, program, *arguments):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            isolate('%s/log/%s.log' % (HOME, name))
            if program.startswith('/'):
                os.execv(program, [program, *arguments])
            path = '/usr/bin/' + program
            sys.argv = [path, *arguments]
            runpy.run_path(path, run_name='__main__')
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children[name] = pid
    return str(pid)


def ended(name):
    """Whether a child is gone; reaps it."""
    if name in children and os.waitpid(children[name], os.WNOHANG)[0]:
        del children[name]
    return name not in children


def send(name, number):
    if ended(name):
        return 'ended'
    os.kill(children[name], int(number))
    return 'sent'


def kill(name):
    if not ended(name):
        os.kill(children[name], signal.SIGKILL)
        os.waitpid(children.pop(name), 0)
    return 'killed'


def make_rings():
    from swift.common.ring import RingBuilder
    with open(HOME + '/rings.json') as file:
        plan = json.load(file)
    for name, devices in plan['rings'].items():
        builder = RingBuilder(plan['part_power'], len(devices), 1)
        for number, (device, port) in enumerate(devices):
            builder.add_dev({
                'id': number, 'region': 1, 'zone': number + 1, 'weight': 100.0, 'device': device, 'meta': '',
                'ip': '127.0.0.1', 'port': port, 'replication_ip': '127.0.0.1', 'replication_port': port,
            })
        builder.rebalance(seed='1')
        builder.get_ring().save('%s/%s.ring.gz' % (HOME, name))


def import_swift():
    import swift.common.utils as utils
    utils.SWIFT_CONF_FILE = HOME + '/swift.conf'
    # The import has already read the hash's prefix and suffix of /etc, where Debian's package puts some.
    utils.HASH_PATH_PREFIX = utils.HASH_PATH_SUFFIX = b''
    utils.validate_hash_conf()
    import importlib
    for name in ('proxy', 'account', 'container', 'obj'):
        importlib.import_module('swift.%s.server' % name)
    for name in ('wsgi', 'middleware.tempauth', 'middleware.slo', 'middleware.dlo', 'middleware.bulk',
                 'middleware.versioned_writes', 'middleware.tempurl', 'middleware.container_sync'):
        importlib.import_module('swift.common.' + name)


def main():
    answers = os.fdopen(os.dup(1), 'w')
    # What libraries print must not mix with the answers.
    os.dup2(2, 1)
    import_swift()
    make_rings()
    commands = {'start': start, 'signal': send, 'kill': kill}
    for line in sys.stdin:
        words = line.split()
        try:
            answer = commands[words[0]](*words[1:])
        except Exception as error:
            answer = 'error ' + repr(error)
        print(answer, file=answers, flush=True)
    for name in list(children):
        kill(name)
    # A cluster that is never dropped has nobody else to clean up.
    shutil.rmtree(HOME, ignore_errors=True)


main()
