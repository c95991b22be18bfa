"""Scripts in processes of their own, forked from one that has imported what takes longer than all else."""

import json
import subprocess
import sys

_SERVER = """
import json, os, signal, sys, traceback
import lightning.pytorch, numpy, torch
from labelwise.methods import fitting

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background it is ignored

def run(script, arguments, printed):
    for stream in (1, 2):
        os.dup2(os.open(f"{printed}{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv[1:] = arguments
    code = 0
    try:
        exec(compile(script, "script", "exec"), {"__name__": "__main__"})
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        run(*json.loads(line))
    os.write(1, b"%d\\n" % pid)
    os.write(1, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


class Processes:
    """Runs one script at a time."""

    def __init__(self, folder):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        self.printed = folder / "printed"

    def start(self, script, *arguments):
        """Start a script; give its process id."""
        self.process.stdin.write(json.dumps([script, list(map(str, arguments)), str(self.printed)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self):
        """The exit code of the script, below 0 if a signal ended it, and what it wrote to stdout and stderr."""
        code = int(self.process.stdout.readline())
        return code, *(self.printed.with_name(f"printed{stream}").read_text() for stream in (1, 2))

    def run(self, script, *arguments):
        """Start a script and wait for it."""
        self.start(script, *arguments)
        return self.wait()

    def close(self):
        """End; nothing may have been printed."""
        assert self.process.communicate(timeout=60) == ("", "")
