"""The flattened DeviceTree (DTB): a bounded reader of bytes that may be hostile, and a writer.

Written from the Devicetree Specification v0.4 chapter 5: 5.2 (header), 5.3 (memory reservation block), 5.4 (structure
block), 5.5 (strings block) and 5.6 (alignment). All integers of the format are big-endian. Padding after names and
values is skipped unread: libfdt leaves old bytes there when a value changes its length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cached_property

import attrs

from mpwake.evidence.exhibit import CodecError, Damage, Exhibit, bytes_exhibit

MAGIC = 0xD00DFEED  # 5.2
VERSION, LAST_COMPATIBLE = 17, 16  # 5.1: version 17 is what the specification describes, compatible back to 16
BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9  # 5.4.1
DEFAULT_ADDRESS_CELLS, DEFAULT_SIZE_CELLS = 2, 1  # 2.3.5

# Bounds of the reader; they are ours, far above any tree that is in use.
MAX_BLOB = 4 << 20
MAX_DEPTH = 64
MAX_NODES = 65_536
MAX_PROPERTIES = 65_536
MAX_RESERVATIONS = 65_536
MAX_NODE_NAME = 256
MAX_PROPERTY_NAME = 255
MAX_PATHS = 16 << 20
MAX_DAMAGE = 1024
MAX_REG_CELLS = 4

QUOTED = 40  # how many characters of a name a Damage shows

_CODEC = "a flattened DeviceTree"
_HEADER_16, _HEADER_17 = struct.Struct(">9I"), struct.Struct(">10I")
_TOTALSIZE, _OFF_STRUCT, _OFF_STRINGS, _OFF_RSVMAP = 4, 8, 12, 16
_VERSION, _LAST_COMP, _SIZE_STRINGS, _SIZE_STRUCT = 20, 24, 32, 36
_RESERVE = struct.Struct(">QQ")
_TOKEN = struct.Struct(">I")
_PROPERTY = struct.Struct(">II")
_STRING_BYTES = bytes([0, *range(0x20, 0x7F)])

Tree = dict[str, "bytes | Tree"]
"""A node to be encoded: a property's name with its value, a child node's name with its own tree."""


@attrs.frozen
class Property:
    """A property: its name, the bytes of its value, and the byte offset of that value in the blob."""

    name: str
    value: bytes
    offset: int

    @property
    def strings(self) -> tuple[str, ...] | None:
        """The value as a list of strings (2.2.4, ``<stringlist>``).

        None unless it is one or more strings of one or more printable ASCII characters, each ended by a NUL. An empty
        string does not count, as in dtc: a cell of 0 would read as four of them.
        """
        value = self.value
        if not value or value[0] == 0 or value[-1] != 0 or b"\0\0" in value or value.translate(None, _STRING_BYTES):
            return None
        return tuple(value[:-1].decode("ascii").split("\0"))

    @property
    def cells(self) -> tuple[int, ...] | None:
        """The value as 32-bit big-endian cells (2.2.4, ``<u32>``); None when its length is no multiple of 4."""
        return self._words(">")

    @property
    def cells_little(self) -> tuple[int, ...] | None:
        """The cells as a writer would mean them who stored them little-endian: to recognise that mistake."""
        return self._words("<")

    def _words(self, order: str) -> tuple[int, ...] | None:
        count, rest = divmod(len(self.value), 4)
        return None if rest else struct.unpack(f"{order}{count}I", self.value)


@attrs.frozen
class Node:
    """A node: its name with any unit address, its path from the root, and what it holds, in the blob's order.

    ``offset`` is the byte offset of its FDT_BEGIN_NODE token. The root has the name "" and the path "/".
    """

    name: str
    path: str
    properties: tuple[Property, ...]
    children: tuple[Node, ...]
    offset: int

    @property
    def base_name(self) -> str:
        """The name without "@" and unit address (2.2.1, node-name)."""
        return self.name.partition("@")[0]

    @property
    def unit_address(self) -> str | None:
        """The name's part after the first "@" (2.2.1), as written; None when the name has no "@"."""
        _, at, address = self.name.partition("@")
        return address if at else None

    def prop(self, name: str) -> Property | None:
        """Return the first property of that name, or None."""
        return next((one for one in self.properties if one.name == name), None)

    def child(self, name: str) -> Node | None:
        """Return the first child of exactly that name, its unit address included, or None."""
        return next((one for one in self.children if one.name == name), None)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, depth first, a node before its children."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children))

    @property
    def address_cells(self) -> int:
        """How many cells an address in a child's reg has (2.3.5); 2 when the property is missing or malformed."""
        return self._count("#address-cells", DEFAULT_ADDRESS_CELLS)

    @property
    def size_cells(self) -> int:
        """How many cells a size in a child's reg has (2.3.5); 1 when the property is missing or malformed."""
        return self._count("#size-cells", DEFAULT_SIZE_CELLS)

    @property
    def has_address_cells(self) -> bool:
        """Whether '#address-cells' is present, well-formed or not."""
        return self.prop("#address-cells") is not None

    @property
    def has_size_cells(self) -> bool:
        """Whether '#size-cells' is present, well-formed or not."""
        return self.prop("#size-cells") is not None

    def _count(self, name: str, default: int) -> int:
        found = self.prop(name)
        values = found.cells if found else None
        return values[0] if values is not None and len(values) == 1 else default


@attrs.frozen
class Reservation:
    """An entry of the memory reservation block (5.3.2): a physical address and a size in bytes, 64 bits each."""

    address: int
    size: int


@attrs.frozen
class Fdt:
    """A flattened DeviceTree as given.

    ``data`` are all bytes of the input, ``damage`` all places where it does not follow the format, in the order in
    which they were met: header, reservations, strings block, structure block. After 1024 of them a last one stands
    for the rest.
    """

    data: bytes
    version: int
    last_compatible: int
    boot_cpuid: int
    reservations: tuple[Reservation, ...]
    root: Node
    damage: tuple[Damage, ...]

    def find(self, path: str) -> Node | None:
        """Return the first node at a path such as "/cpus/cpu@0", every name in full, or None."""
        if not path.startswith("/"):
            return None
        node: Node | None = self.root
        for name in path[1:].split("/") if path != "/" else ():
            node = node.child(name) if node else None
        return node

    def walk(self) -> Iterator[Node]:
        """Yield all nodes, depth first, a node before its children."""
        return self.root.walk()

    def parent(self, node: Node) -> Node | None:
        """Return the node that holds ``node``; None for the root and for a node that is not of this tree."""
        return self._parents.get((node.offset, node.path))

    @cached_property
    def _parents(self) -> dict[tuple[int, str], Node]:
        return {(child.offset, child.path): node for node in self.walk() for child in node.children}

    def exhibit(self, offset: int, length: int = 1) -> Exhibit:
        """Show bytes of this blob."""
        return bytes_exhibit("DTB", self.data, offset, length)


def reg(node: Node, parent: Node) -> tuple[tuple[int, int], ...] | None:
    """Decode the reg of a node (2.3.6) into (address, size) pairs, with the cell counts that its parent gives.

    An address has 1 to 4 cells and a size 0 to 4, so either may be up to 128 bits wide; where '#size-cells' is 0 (as
    under /cpus) each size is 0. None when reg is missing, its length is no multiple of a pair's, or the cell counts
    are out of those ranges. An empty reg has no pairs.
    """
    found = node.prop("reg")
    address, size = 4 * parent.address_cells, 4 * parent.size_cells
    if found is None or not 4 <= address <= 4 * MAX_REG_CELLS or size > 4 * MAX_REG_CELLS:
        return None
    value, step = found.value, address + size
    if len(value) % step:
        return None
    return tuple(
        (int.from_bytes(value[at : at + address], "big"), int.from_bytes(value[at + address : at + step], "big"))
        for at in range(0, len(value), step)
    )


@attrs.frozen
class _Header:
    """The header's fields (5.2) without the magic; version 16 has no ``structure_size``."""

    total: int
    structure: int
    strings: int
    reservations: int
    version: int
    last_compatible: int
    boot_cpuid: int
    strings_size: int
    structure_size: int | None = None

    @property
    def size(self) -> int:
        """The header's own size in bytes."""
        return (_HEADER_16 if self.structure_size is None else _HEADER_17).size


@attrs.define
class _Damages:
    """The damage met so far, bounded."""

    met: list[Damage] = attrs.field(factory=list)

    def note(self, offset: int, expected: str, found: str) -> None:
        if len(self.met) < MAX_DAMAGE:
            self.met.append(Damage(offset, expected, found))
        elif len(self.met) == MAX_DAMAGE:
            self.met.append(Damage(offset, f"at most {MAX_DAMAGE} damaged places", "more"))


@attrs.define
class _Strings:
    """The strings block: bytes ``start`` to ``end`` of ``data``, and the names that were read from it."""

    data: bytes
    start: int
    end: int
    damages: _Damages
    names: dict[int, str] = attrs.field(factory=dict)

    def name(self, offset: int, at: int) -> str | None:
        """Return the property name at ``offset``, or None with damage noted at ``at``, where the offset stands."""
        if offset not in self.names:
            name = self._read(offset, at)
            if name is None:
                return None
            self.names[offset] = name
        return self.names[offset]

    def _read(self, offset: int, at: int) -> str | None:
        start = self.start + offset
        if start >= self.end:
            size = max(0, self.end - self.start)
            self.damages.note(at, f"a name inside the strings block of {size} bytes", f"name offset {offset:#x}")
            return None
        bound = start + MAX_PROPERTY_NAME
        end = self.data.find(b"\0", start, min(bound + 1, self.end))
        if end < 0 and bound >= self.end:
            self.damages.note(at, "a name that ends inside the strings block", f"no NUL after name offset {offset:#x}")
            return None
        if end < 0:
            self.damages.note(start, f"a property name of at most {MAX_PROPERTY_NAME} characters", "a longer one")
        if end == start:
            self.damages.note(at, "a property name of at least 1 character", "an empty name")
        return _text(self.data[start : bound if end < 0 else end], start, self.damages)


@attrs.define
class _OpenNode:
    """A node whose FDT_END_NODE has not been met yet, with the names that it holds."""

    name: str
    path: str
    offset: int
    properties: list[Property] = attrs.field(factory=list)
    children: list[Node] = attrs.field(factory=list)
    property_names: set[str] = attrs.field(factory=set)
    child_names: set[str] = attrs.field(factory=set)

    def closed(self) -> Node:
        return Node(self.name, self.path, tuple(self.properties), tuple(self.children), self.offset)


@attrs.define
class _Structure:
    """A walk through the structure block: bytes ``start`` to ``end`` of ``data``, at byte ``at`` of it now.

    Methods that take a token return whether the walk goes on; ``at`` is then the next token.
    """

    data: bytes
    start: int
    end: int
    declared_size: int | None
    strings: _Strings
    damages: _Damages
    at: int
    open: list[_OpenNode] = attrs.field(factory=list)
    root: Node | None = None
    nodes: int = 0
    properties: int = 0
    paths: int = 0

    def read(self) -> Node:
        """Return the root node with all that comes before the end, or before damage that stops the walk."""
        while self._step():
            pass
        while self.open:
            self._end_node()
        return self.root or Node("", "/", (), (), self.start)

    def _step(self) -> bool:
        at = self.at
        if self.end - at < _TOKEN.size:
            return self._stop(at, self._expected(), f"the end of the structure block at byte {self.end:#x}")
        (token,) = _TOKEN.unpack_from(self.data, at)
        self.at = at + _TOKEN.size
        if token == NOP:
            return True
        if token == PROP and self.open:
            return self._property(at)
        if token == BEGIN_NODE and (self.open or self.root is None):
            return self._begin_node(at)
        if token == END_NODE and self.open:
            return self._end_node()
        if token == END:
            return self._finish(at)
        return self._stop(at, self._expected(), f"token {token:#x}")

    def _stop(self, at: int, expected: str, found: str) -> bool:
        self.damages.note(at, expected, found)
        return False

    def _expected(self) -> str:
        if self.open:
            return "FDT_BEGIN_NODE, FDT_END_NODE, FDT_PROP or FDT_NOP"
        return "FDT_END after the root node" if self.root else "FDT_BEGIN_NODE of the root node"

    def _aligned(self, at: int) -> int:
        return at + (self.start - at) % 4

    def _begin_node(self, at: int) -> bool:
        if len(self.open) >= MAX_DEPTH:
            return self._stop(at, f"at most {MAX_DEPTH} nodes inside each other", "one more")
        if self.nodes >= MAX_NODES:
            return self._stop(at, f"at most {MAX_NODES} nodes", "more")
        end = self.data.find(b"\0", self.at, self.end)
        if end < 0:
            return self._stop(self.at, "a node name that ends inside the structure block", "no NUL")
        name = self._node_name(self.at, end)
        path = self._path(name)
        if self.paths + len(path) > MAX_PATHS:
            return self._stop(at, f"paths of at most {MAX_PATHS} characters in all", "more")
        self.nodes, self.paths, self.at = self.nodes + 1, self.paths + len(path), self._aligned(end + 1)
        if self.open:
            self._note_twice(name, self.open[-1].child_names, at, "child node")
        self.open.append(_OpenNode(name, path, at))
        return True

    def _node_name(self, start: int, end: int) -> str:
        """Return the name between two offsets, with what is wrong about it noted."""
        if end - start > MAX_NODE_NAME:
            self.damages.note(start, f"a node name of at most {MAX_NODE_NAME} characters", f"{end - start}")
        name = _text(self.data[start : min(end, start + MAX_NODE_NAME)], start, self.damages)
        if not self.open and name:
            self.damages.note(start, "a root node without a name", _quoted(name))
        if self.open and not name:
            self.damages.note(start, "a node name of at least 1 character", "an empty name")
        if "/" in name:
            self.damages.note(start, "a node name without '/'", _quoted(name))
        return name

    def _path(self, name: str) -> str:
        if not self.open:
            return "/"
        return f"{self.open[-1].path if len(self.open) > 1 else ''}/{name}"

    def _note_twice(self, name: str, names: set[str], at: int, kind: str) -> None:
        if name in names:
            self.damages.note(at, f"one {kind} of a name", f"another {_quoted(name)}")
        names.add(name)

    def _property(self, at: int) -> bool:
        if self.properties >= MAX_PROPERTIES:
            return self._stop(at, f"at most {MAX_PROPERTIES} properties", "more")
        value = self.at + _PROPERTY.size
        if value > self.end:
            return self._stop(self.at, "a property's length and name offset", "the end of the structure block")
        length, name_offset = _PROPERTY.unpack_from(self.data, self.at)
        if length > self.end - value:
            left = self.end - value
            return self._stop(self.at, f"a value of at most the {left} bytes that are left", f"length {length}")
        self.properties, self.at = self.properties + 1, self._aligned(value + length)
        name = self.strings.name(name_offset, at + 8)
        if name is not None:
            self._keep(Property(name, self.data[value : value + length], value), at)
        return True

    def _keep(self, found: Property, at: int) -> None:
        """Add a property to the innermost open node."""
        node = self.open[-1]
        if node.children:
            self.damages.note(at, "a node's properties before its child nodes", f"{_quoted(found.name)} after one")
        self._note_twice(found.name, node.property_names, at, "property")
        node.properties.append(found)

    def _end_node(self) -> bool:
        node = self.open.pop().closed()
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        return True

    def _finish(self, at: int) -> bool:
        """Take FDT_END, which must come after the root node and be the last of the block."""
        if self.open or self.root is None:
            self.damages.note(at, self._expected(), "FDT_END")
        size = self.at - self.start
        if self.declared_size is not None and self.declared_size != size:
            self.damages.note(_SIZE_STRUCT, f"size_dt_struct {size}, which ends with FDT_END", f"{self.declared_size}")
        return False


def _text(raw: bytes, offset: int, damages: _Damages) -> str:
    """Return a name as text; whatever is not printable ASCII becomes a backslash escape, and damage is noted."""
    text = raw.decode("latin-1")
    if text.isascii() and text.isprintable():
        return text
    escaped = text.encode("unicode_escape").decode("ascii")
    damages.note(offset, "a name of printable ASCII characters", _quoted(escaped))
    return escaped


def _quoted(name: str) -> str:
    return f"'{name}'" if len(name) <= QUOTED else f"'{name[:QUOTED]}' and {len(name) - QUOTED} characters more"


def _refuse(offset: int, expected: str, found: str) -> CodecError:
    return CodecError(_CODEC, offset, expected, found)


def _decode_header(data: bytes) -> _Header:
    """Return the header; raise ``CodecError`` when there is none that can be used."""
    if len(data) > MAX_BLOB:
        raise _refuse(0, f"at most {MAX_BLOB} bytes", f"{len(data)} bytes")
    if len(data) < _HEADER_16.size:
        raise _refuse(len(data), f"a header of {_HEADER_17.size} bytes", f"{len(data)} bytes")
    magic, *fields = _HEADER_16.unpack_from(data)
    header = _Header(*fields)
    if magic != MAGIC:
        raise _refuse(0, f"the magic number {MAGIC:#x}", f"{magic:#010x}")
    if header.version < LAST_COMPATIBLE:
        raise _refuse(_VERSION, f"version {LAST_COMPATIBLE} or later", f"version {header.version}")
    if header.version > LAST_COMPATIBLE:
        if len(data) < _HEADER_17.size:
            raise _refuse(len(data), f"a header of {_HEADER_17.size} bytes", f"{len(data)} bytes")
        header = attrs.evolve(header, structure_size=_HEADER_17.unpack_from(data)[-1])
    if header.total < header.size:
        raise _refuse(_TOTALSIZE, f"a totalsize of at least {header.size}", f"{header.total}")
    if header.structure >= len(data):
        raise _refuse(_OFF_STRUCT, f"an off_dt_struct below {len(data)}, the input's end", f"{header.structure:#x}")
    return header


def _check_header(header: _Header, size: int, damages: _Damages) -> None:
    """Note what is wrong in the header of an input of ``size`` bytes, beside the blocks' own bounds."""
    if size < header.total:
        damages.note(size, f"{header.total} bytes, the header's totalsize", f"the input's end after {size}")
    if header.last_compatible > min(header.version, VERSION):
        bound = min(header.version, VERSION)
        damages.note(_LAST_COMP, f"a last_comp_version of at most {bound}", f"{header.last_compatible}")
    if header.structure % 4:
        damages.note(_OFF_STRUCT, "an off_dt_struct that is a multiple of 4", f"{header.structure:#x}")
    if header.reservations % 8:
        damages.note(_OFF_RSVMAP, "an off_mem_rsvmap that is a multiple of 8", f"{header.reservations:#x}")
    blocks = (_OFF_STRUCT, header.structure), (_OFF_STRINGS, header.strings), (_OFF_RSVMAP, header.reservations)
    for field, start in blocks:
        if start < header.size:
            damages.note(field, f"a block that starts at or after byte {header.size:#x}", f"one at {start:#x}")


def _block_end(start: int, size: int, limit: int, field: int, damages: _Damages) -> int:
    """Return where a block ends, not past ``limit``, the blob's end; ``field`` is where the header gives its size."""
    if start + size > limit:
        damages.note(field, f"a block that ends at or before byte {limit:#x}", f"bytes {start:#x} to {start + size:#x}")
    return min(start + size, limit)


def _decode_reservations(data: bytes, header: _Header, limit: int, damages: _Damages) -> tuple[Reservation, ...]:
    """Return the entries before the one that is all zero; a list that has none ends where the next block starts."""
    at = header.reservations
    if at < header.size:
        return ()
    end = min(header.structure, limit) if at < header.structure else limit
    entries: list[Reservation] = []
    while end - at >= _RESERVE.size:
        address, size = _RESERVE.unpack_from(data, at)
        if not address and not size:
            return tuple(entries)
        if len(entries) >= MAX_RESERVATIONS:
            damages.note(at, f"at most {MAX_RESERVATIONS} memory reservations", "more")
            return tuple(entries)
        entries.append(Reservation(address, size))
        at += _RESERVE.size
    damages.note(at, "a memory reservation of 0, 0 that ends the list", f"the end of the block at byte {end:#x}")
    return tuple(entries)


def decode_fdt(data: bytes) -> Fdt:
    """Decode a flattened DeviceTree as far as its bytes allow, in time and memory that its length bounds.

    Raises ``CodecError`` when the input has no header that can be used: wrong magic, fewer than 40 bytes (36 in
    version 16), more than 4 MiB, a version below 16, a totalsize below the header's, a structure block outside the
    input. Any other damage is recorded in the result; where it stops the walk, open nodes end there.
    """
    header = _decode_header(data)
    damages = _Damages()
    limit = min(len(data), header.total)
    _check_header(header, len(data), damages)
    reservations = _decode_reservations(data, header, limit, damages)
    strings_end = _block_end(header.strings, header.strings_size, limit, _SIZE_STRINGS, damages)
    end = limit
    if header.structure_size is not None:
        end = _block_end(header.structure, header.structure_size, limit, _SIZE_STRUCT, damages)
    strings = _Strings(data, header.strings, strings_end, damages)
    structure = _Structure(data, header.structure, end, header.structure_size, strings, damages, header.structure)
    root = structure.read()
    return Fdt(data, header.version, header.last_compatible, header.boot_cpuid, reservations, root, tuple(damages.met))


def cells(*values: int) -> bytes:
    """Return a value of 32-bit big-endian cells. Raises ``ValueError`` for one that does not fit."""
    return _integers(values, 32)


def cells64(*values: int) -> bytes:
    """Return a value of 64-bit big-endian integers, two cells each. Raises ``ValueError`` for one that does not fit."""
    return _integers(values, 64)


def strings(*texts: str) -> bytes:
    """Return a value of ASCII strings with a NUL after each. Raises ``ValueError`` for a text that cannot be one."""
    return b"".join(map(_terminated, texts))


def _integers(values: Iterable[int], bits: int) -> bytes:
    for value in (given := tuple(values)):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"a value of {bits} bits is expected, not {value:#x}")
    return b"".join(value.to_bytes(bits // 8, "big") for value in given)


def _terminated(text: str) -> bytes:
    if not text.isascii() or "\0" in text:
        raise ValueError(f"ASCII text without NUL is expected, not {text!r}")
    return text.encode("ascii") + b"\0"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


@attrs.define
class _NameTable:
    """A strings block under construction; a name that comes again keeps its place."""

    block: bytearray = attrs.field(factory=bytearray)
    offsets: dict[str, int] = attrs.field(factory=dict)

    def offset(self, name: str) -> int:
        if name not in self.offsets:
            self.offsets[name] = len(self.block)
            self.block += _terminated(name)
        return self.offsets[name]


def _encode_structure(root: Tree, names: _NameTable) -> bytes:
    """Return the structure block of a tree; the names of its properties go to ``names``."""
    out = bytearray()
    pending: list[tuple[str, Tree] | None] = [("", root)]  # None stands for the end of a node
    while pending:
        item = pending.pop()
        if item is None:
            out += _TOKEN.pack(END_NODE)
            continue
        name, tree = item
        out += _TOKEN.pack(BEGIN_NODE) + _padded(_terminated(name))
        for key, value in tree.items():
            if not isinstance(value, dict):
                out += _TOKEN.pack(PROP) + _PROPERTY.pack(len(value), names.offset(key)) + _padded(value)
        pending.append(None)
        pending.extend((key, value) for key, value in reversed(tree.items()) if isinstance(value, dict))
    return bytes(out + _TOKEN.pack(END))


def encode_fdt(root: Tree, boot_cpuid: int = 0, reservations: Iterable[Reservation] = ()) -> bytes:
    """Return the blob (version 17, compatible back to 16) of the tree whose root node holds what ``root`` does.

    Each node has its properties first, then its child nodes, both in the dictionary's order. A reservation of 0, 0
    would end the list. Raises ``ValueError`` for a name that is not ASCII, or a number that does not fit its field.
    """
    names = _NameTable()
    structure = _encode_structure(root, names)
    entries = b"".join(cells64(one.address, one.size) for one in (*reservations, Reservation(0, 0)))
    structure_at = _HEADER_17.size + len(entries)
    strings_at = structure_at + len(structure)
    total = strings_at + len(names.block)
    offsets = (structure_at, strings_at, _HEADER_17.size)
    sizes = (len(names.block), len(structure))
    header = cells(MAGIC, total, *offsets, VERSION, LAST_COMPATIBLE, boot_cpuid, *sizes)
    return header + entries + structure + bytes(names.block)
