#!/usr/bin/env python3
"""Verifies a record of Sluice, or a proof of one entry, from audit/format.md alone.

    verify_record.py KEY DIRECTORY | PROOF

KEY is a public key that has signed the record, as in log.vkey, or a file with it. It needs nothing but
Python 3.8, shares no code with Sluice, and is there to show that strangers can
check. Packed segments need Python 3.14 or the program zstd. It prints what it found and ends with 0 if all is well, else with 1.
"""
import base64
import glob
import hashlib
import io
import json
import os
import subprocess
import sys

SEGMENT = 65536


class Wrong(Exception):
    pass


# Ed25519 (RFC 8032), verification only: nothing in it is secret.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def plus(a, b):
    x, y = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    z, w = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = y - x, w - z, w + z, y + x
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, point):
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = plus(out, point)
        point, n = plus(point, point), n >> 1
    return out


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        raise Wrong("not a point of the curve")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        raise Wrong("not a point of the curve")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point(bytes([0x58] + [0x66] * 31))


def signed(key, message, signature):
    if len(signature) != 64:
        return False
    try:
        a, r = point(key), point(signature[:32])
    except Wrong:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = times(s, BASE), plus(r, times(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# The tree of RFC 6962.
def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """The roots of the perfect trees that the leaves so far fall apart into."""

    def __init__(self):
        self.size, self.roots = 0, []

    def push(self, h):
        n = self.size
        while n & 1:
            h, n = node(self.roots.pop(), h), n >> 1
        self.roots.append(h)
        self.size += 1

    def root(self):
        if not self.roots:
            return hashlib.sha256(b"").digest()
        h = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            h = node(left, h)
        return h


def included(index, size, h, proof):
    """RFC 9162, section 2.1.3.2: the root that an inclusion proof comes to."""
    if index >= size:
        raise Wrong("the entry is not among those of the checkpoint")
    f, s = index, size - 1
    for p in proof:
        if s == 0:
            raise Wrong("the inclusion proof is too long")
        if f & 1 or f == s:
            h = node(p, h)
            while not f & 1 and f:
                f, s = f >> 1, s >> 1
        else:
            h = node(h, p)
        f, s = f >> 1, s >> 1
    if s:
        raise Wrong("the inclusion proof is too short")
    return h


def grown(old, old_root, size, root, proof):
    """RFC 9162, section 2.1.4.2: whether the tree of size continues the old one."""
    if old > size:
        return False
    if old == size or old == 0:
        return not proof and (old == 0 or old_root == root)
    if old & (old - 1) == 0:
        proof = [old_root] + proof
    if not proof:
        return False
    f, s = old - 1, size - 1
    while f & 1:
        f, s = f >> 1, s >> 1
    a = b = proof[0]
    for p in proof[1:]:
        if s == 0:
            return False
        if f & 1 or f == s:
            a, b = node(p, a), node(p, b)
            while not f & 1 and f:
                f, s = f >> 1, s >> 1
        else:
            b = node(b, p)
        f, s = f >> 1, s >> 1
    return s == 0 and a == old_root and b == root


# Signed notes and checkpoints.
def strict(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise Wrong("base64 with bits that mean nothing")
    return data


def verifier(text):
    name, number, key = text.strip().split("+", 2)
    data = strict(key)
    if data[0] != 1 or len(data) != 33:
        raise Wrong("not an Ed25519 key")
    if hashlib.sha256(name.encode() + b"\n" + data).digest()[:4].hex() != number:
        raise Wrong("the key's number is not that of the key")
    return name, bytes.fromhex(number), data[1:]


def signed_text(note, key):
    name, number, public = key
    text, _, sigs = note.partition("\n\n")
    text += "\n"
    good = False
    for line in sigs.splitlines():
        mark, who, sig = line.split(" ")
        data = strict(sig)
        if mark == "\u2014" and who == name and data[:4] == number:
            if not signed(public, text.encode(), data[4:]):
                raise Wrong("a signature is wrong")
            good = True
    if not good:
        raise Wrong("a note is not signed by the key")
    return text


def replaced_by(note, keys):
    """Adds to keys the key that a note says took over: (entry, size, root, key)."""
    old, public = keys[-1][0], keys[-1][3]
    head = note.partition("\n\n")[0].split("\n")
    if len(head) != 5 or not head[1].startswith("key "):
        raise Wrong("a note of a key that was replaced is not one")
    new = verifier(head[4])
    for key in (old, new):
        signed_text(note, key)
    entry, size = head[1][4:].split(" ")
    if head[1] != "key %d %d" % (int(entry), int(size)) or not 0 <= int(entry) < int(size):
        raise Wrong("a note of a key that was replaced is not one")
    if head[0] != old[0] or new[0] != old[0] or head[3] != public or int(size) < keys[-1][1]:
        raise Wrong("a key took over from another than the one before")
    if len(strict(head[2])) != 32 or any(new == k[0] for k in keys):
        raise Wrong("a note of a key that was replaced is not one")
    keys.append((new, int(size), int(entry), head[4], strict(head[2])))


def all_keys(first, notes, given):
    """The keys of a log, one after the other: (key, first size, entry that says so, text, root)."""
    keys = [(verifier(first), 0, None, first, None)]
    for note in notes:
        replaced_by(note, keys)
    if all(k[3] != given for k in keys):
        raise Wrong("the key given is none of those that signed")
    return keys


def checkpoint(note, keys):
    """Only the key that signs over so many entries counts."""
    why = Wrong("a note is not signed by the key")
    for i, k in enumerate(keys):
        try:
            origin, size, root = signed_text(note, k[0]).splitlines()
        except Wrong as e:
            why = e
            continue
        if origin != k[0][0] or str(int(size)) != size or int(size) < 0 or len(strict(root)) != 32:
            raise Wrong("a checkpoint is not one of this log")
        if int(size) < k[1] or i + 1 < len(keys) and int(size) > keys[i + 1][1]:
            why = Wrong("the checkpoint over %s entries is signed by a key that does not sign there" % size)
            continue
        return int(size), strict(root)
    raise why


def proof(data, key):
    p = json.loads(data)
    if p["format"] != "sluice-proof/1":
        raise Wrong("not a proof of a format that is known here")
    notes = p.get("keys") or []
    keys = all_keys(notes[0].split("\n")[3] if notes else key, notes, key)
    size, root = checkpoint(p["checkpoint"], keys)
    entry, index = p["entry"].encode(), p["index"]
    if included(index, size, leaf(entry), [strict(h) for h in p["inclusion"] or []]) != root:
        raise Wrong("entry %d is not the one that was signed" % index)
    if not entry.startswith(b'{"seq":%d,"id":"' % index):
        raise Wrong("the entry says that it is another")
    since = p.get("since")
    if since:
        old, old_root = checkpoint(since["checkpoint"], keys)
        if not grown(old, old_root, size, root, [strict(h) for h in since["consistency"] or []]):
            raise Wrong("the first %d entries are not those of the older checkpoint" % old)
    return "ok: entry %d is among the %d under the checkpoint" % (index, size)


def unpacked(path):
    """The lines of a segment; of a packed one with whatever there is for Zstandard."""
    if not path.endswith(".zst"):
        return open(path, "rb")
    data = open(path, "rb").read()
    try:
        from compression import zstd  # Python 3.14

        return io.BytesIO(zstd.decompress(data))
    except ImportError:
        done = subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Wrong("%s cannot be unpacked" % path)
        return io.BytesIO(done.stdout)


def removal(directory, keys):
    """How many entries a signed note says were removed, and the root over them."""
    path = os.path.join(directory, "removed")
    if not os.path.exists(path):
        return 0, None
    note, text = open(path, encoding="utf-8").read(), None
    for k in keys:  # an entry has to say so as well
        try:
            text = signed_text(note, k[0])
        except Wrong as e:
            why = e
    if text is None:
        raise why
    origin, size, root = text.splitlines()
    if origin != keys[0][0][0] or not size.startswith("removed ") or int(size[8:]) % SEGMENT:
        raise Wrong("the note of what was removed is not one of this log")
    return int(size[8:]), strict(root)


def tile(n):
    """The path of tile n of level 0."""
    parts = ["%03d" % (n % 1000)]
    while n >= 1000:
        n //= 1000
        parts.insert(0, "x%03d" % (n % 1000))
    return os.path.join("tile", "0", *parts)


def notes_of(path):
    """The signed notes of a file, each of which an empty line follows."""
    parts = open(path, encoding="utf-8").read().split("\n\n")
    return [parts[i] + "\n\n" + parts[i + 1] + "\n" for i in range(0, len(parts) - 1, 2)]


def record(directory, key):
    path = os.path.join(directory, "keys")
    first = open(os.path.join(directory, "log.vkey"), encoding="utf-8").read().strip()
    keys = all_keys(first, notes_of(path) if os.path.exists(path) else [], key)
    notes = notes_of(os.path.join(directory, "checkpoints"))
    notes.append(open(os.path.join(directory, "checkpoint"), encoding="utf-8").read())
    marks = [checkpoint(n, keys) for n in notes]
    if any(a[0] > b[0] for a, b in zip(marks, marks[1:])):
        raise Wrong("a checkpoint covers less than one before it: an old state was put back")
    turns = {k[2]: k for k in keys[1:]}  # by the entry that must say so
    marks = sorted(marks + [(k[1], k[4]) for k in keys[1:]], key=lambda m: m[0]) if turns else marks
    tree, met, said = Tree(), 0, 0
    gone, gone_root = removal(directory, keys)
    names = {os.path.basename(p)[:20]: p for p in sorted(glob.glob(os.path.join(directory, "entries", "*.jsonl*")), reverse=True)}

    def meet(met):
        while met < len(marks) and marks[met][0] == tree.size:
            if marks[met][1] != tree.root():
                raise Wrong("the first %d entries are not those that were signed" % tree.size)
            met += 1
        return met

    first = int(min(names)) if names else 0
    if first > gone:
        raise Wrong("entries before %d are missing" % first)
    for n in range(0, first, 256):  # their hashes stand for them
        hashes = open(os.path.join(directory, tile(n // 256)), "rb").read()
        if len(hashes) != 256 * 32:
            raise Wrong("the hashes of entry %d and after are not whole" % n)
        for i in range(256):
            met = meet(met)
            tree.push(hashes[32 * i : 32 * i + 32])
    if first == gone and gone and tree.root() != gone_root:
        raise Wrong("the hashes of what was removed are not those that were signed")
    for name in sorted(names):
        path = names[name]
        if name != "%020d" % tree.size:
            raise Wrong("%s does not begin with entry %d" % (path, tree.size))
        for line in unpacked(path):
            met = meet(met)
            if b'"kind":"removed"' in line[:200] and tree.size < marks[-1][0]:
                said = max(said, json.loads(line)["kept_from"])
            if not line.endswith(b"\n"):
                break  # it was being written
            if tree.size in turns:
                ev = json.loads(line)
                if ev["kind"] != "rotated" or ev.get("key") != turns[tree.size][3]:
                    raise Wrong("entry %d does not say that another key takes over" % tree.size)
                del turns[tree.size]
            if not line.startswith(b'{"seq":%d,"id":"' % tree.size):
                raise Wrong("entry %d is not where it belongs" % tree.size)
            tree.push(leaf(line[:-1]))
    while met < len(marks) and marks[met] == (tree.size, tree.root()):
        met += 1
    if said < first:
        raise Wrong("entries before %d are missing, and no entry says that they were removed" % first)
    if any(entry >= first for entry in turns):
        raise Wrong("a key took over, and the entry that says so is not there")
    if met < len(marks):
        raise Wrong("the checkpoint over %d entries does not fit: there are %d" % (marks[met][0], tree.size))
    what = "%d entries" % tree.size if not first else "%d entries, of which the first %d were removed" % (tree.size, first)
    return "ok: %s, %d checkpoints, root %s" % (what, len(marks), base64.b64encode(marks[-1][1]).decode())


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    key, what = sys.argv[1:]
    try:
        if os.path.exists(key):
            key = open(key, encoding="utf-8").read()
        key = key.strip()
        if os.path.isdir(what):
            print(record(what, key))
        else:
            print(proof(open(what, encoding="utf-8").read(), key))
        return 0
    except (Wrong, ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as e:
        print("wrong: %s" % e)
        return 1


sys.exit(main())
