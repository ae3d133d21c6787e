"""A server of one's own, for programs that try clients against it."""
import contextlib
import re
import subprocess
import sys


@contextlib.contextmanager
def serving(binary, model, flags=()):
    """A server with this model while the block runs; gives its URL. It must end well when it is told to."""
    command = [binary, "serve", "--model", model, "--port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in process.stdout:
            if found := re.search(r"http://[\w.:]+:\d+", line):
                yield found[0].replace("0.0.0.0", "127.0.0.1")
                break
        else:
            sys.exit(f"{' '.join(command)} ended with {process.wait()}")
    finally:
        process.terminate()
        code = process.wait(timeout=60)
    assert code == 0, f"{' '.join(command)} ended with {code}"
