"""The telnet engine: what games send, whole or in pieces, damaged or hostile, and what the client answers."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telnet import mssp
from gateway.telnet import options as t
from gateway.telnet.client import Echo, Encoding, Gmcp, Mssp, Prompt, TelnetClient, Terminal, Text
from gateway.telnet.encodings import Decoder, find_encoding
from gateway.telnet.negotiation import Negotiator
from gateway.telnet.parser import INFLATED_BYTES, MAX_SUBNEGOTIATION, DamagedCompression
from shared.encodings import ENCODINGS

IAC = b"\xff"


def will(option: int) -> bytes:
    return bytes([t.IAC, t.WILL, option])


def wont(option: int) -> bytes:
    return bytes([t.IAC, t.WONT, option])


def do(option: int) -> bytes:
    return bytes([t.IAC, t.DO, option])


def dont(option: int) -> bytes:
    return bytes([t.IAC, t.DONT, option])


def sub(option: int, content: bytes) -> bytes:
    return bytes([t.IAC, t.SB, option]) + content.replace(IAC, IAC + IAC) + bytes([t.IAC, t.SE])


def joined(events: list) -> list:
    """Join neighbouring texts, which depend on how the bytes arrived."""
    result: list = []
    for event in events:
        if isinstance(event, Text) and result and isinstance(result[-1], Text):
            result[-1] = Text(result[-1].text + event.text)
        else:
            result.append(event)
    return result


def play(*reads: bytes, **terminal: object) -> tuple[list, bytes]:
    """Return the events of some reads, and everything that was answered."""
    client = TelnetClient(Terminal(**terminal))
    events = [event for read in reads for event in client.receive(read)]
    return joined(events), client.take_output()


LOGIN = (
    do(t.TTYPE)
    + b"Welcome to M\xc3\xa9lange\r\n"
    + will(t.ECHO)
    + b"Password: "
    + bytes([t.IAC, t.GA])
    + wont(t.ECHO)
    + do(t.NAWS)
    + sub(t.TTYPE, b"\x01")
    + b"100\xff\xff%\n\r> "
    + bytes([t.IAC, t.EOR_MARK])
)


def test_a_login_in_one_read() -> None:
    events, answers = play(LOGIN, columns=100, rows=30)
    assert events == [
        Text("Welcome to Mélange\n"),
        Echo(True),
        Text("Password: "),
        Prompt(),
        Echo(False),
        Text("100ÿ%\n> "),
        Prompt(),
    ]
    assert answers == (
        will(t.TTYPE)
        + do(t.ECHO)
        + dont(t.ECHO)
        + will(t.NAWS)
        + sub(t.NAWS, b"\0\x64\0\x1e")
        + sub(t.TTYPE, b"\0GOSSIP")
    )


def test_every_split_into_two_reads_gives_the_same() -> None:
    whole = play(LOGIN)
    for position in range(len(LOGIN)):
        assert play(LOGIN[:position], LOGIN[position:]) == whole
    assert play(*(bytes([byte]) for byte in LOGIN)) == whole


@given(st.lists(st.binary(max_size=40) | st.sampled_from([LOGIN, will(t.MCCP2), sub(t.MCCP2, b""), IAC]), max_size=12))
def test_no_bytes_raise_anything_but_damaged_compression(reads: list[bytes]) -> None:
    client = TelnetClient(Terminal())
    try:
        for read in reads:
            for event in client.receive(read):
                if isinstance(event, Text):
                    event.text.encode()
    except DamagedCompression:
        pass


@given(st.text(max_size=100), st.data())
def test_text_does_not_depend_on_how_it_arrives(text: str, data: st.DataObject) -> None:
    content = text.encode()
    cut = data.draw(st.integers(0, len(content)))
    encoding = data.draw(st.sampled_from(sorted(ENCODINGS)))
    assert play(content[:cut], content[cut:], encoding=encoding) == play(content, encoding=encoding)


@pytest.mark.parametrize("option", [34, 91, 165, 0, 6, 69, 87, 90, 93, 200, 255])
def test_other_options_are_refused_once_for_each_request(option: int) -> None:
    """LINEMODE, MXP, OAUTH and the rest, in both directions; a refusal is never answered."""
    assert play(do(option) + will(option))[1] == bytes([t.IAC, t.WONT, option, t.IAC, t.DONT, option])
    assert play(dont(option) + wont(option))[1] == b""


def test_a_confirmation_is_not_answered() -> None:
    assert play(will(t.SGA) + will(t.SGA) + do(t.SGA) + do(t.SGA))[1] == do(t.SGA) + will(t.SGA)


@given(st.lists(st.tuples(st.sampled_from([t.WILL, t.WONT, t.DO, t.DONT]), st.sampled_from([1, 3, 34])), max_size=30))
def test_two_negotiators_always_come_to_rest(requests: list[tuple[int, int]]) -> None:
    """And agree: RFC 1143's guarantee, whatever both ends ask for at the same time."""
    ends = [Negotiator(ours=[1, 3], theirs=[1, 3]), Negotiator(ours=[1, 3], theirs=[1])]
    ways: list[bytes] = [b"", b""]
    for number, (command, option) in enumerate(requests):
        ours, on = command in (t.WILL, t.WONT), command in (t.WILL, t.DO)
        ways[number % 2] += ends[number % 2].ask(option, ours=ours, on=on)
    for _ in range(200):
        if ways == [b"", b""]:
            break
        for sender in (0, 1):
            sent, ways[sender] = ways[sender], b""
            for start in range(0, len(sent), 3):
                ways[1 - sender] += ends[1 - sender].receive(sent[start + 1], sent[start + 2])[0]
    assert ways == [b"", b""]
    for option in (1, 3, 34):
        assert ends[0].is_on(option, ours=True) == ends[1].is_on(option, ours=False)
        assert ends[1].is_on(option, ours=True) == ends[0].is_on(option, ours=False)


def test_terminal_types_end_with_the_standard_number() -> None:
    asked = do(t.TTYPE) + sub(t.TTYPE, b"\x01") * 4
    answers = play(asked, uses_screen_reader=True, is_tls=True)[1]
    number = 1 + 4 + 8 + 64 + 128 + 256 + 512 + 2048
    last = sub(t.TTYPE, b"\0MTTS %d" % number)
    assert answers == will(t.TTYPE) + sub(t.TTYPE, b"\0GOSSIP") + sub(t.TTYPE, b"\0ANSI-256COLOR") + last + last
    assert Terminal().mtts & t.MTTS_SCREEN_READER == 0
    assert Terminal(encoding="gbk").mtts & t.MTTS_UTF8 == 0


def test_the_environment_names_the_client_and_only_a_given_address() -> None:
    everything = play(do(t.NEW_ENVIRON) + sub(t.NEW_ENVIRON, b"\x01"))[1]
    assert b"\0CLIENT_NAME\x01GOSSIP" in everything and b"IPADDRESS" not in everything
    asked = play(do(t.NEW_ENVIRON) + sub(t.NEW_ENVIRON, b"\x01\0IPADDRESS\x03CLIENT_NAME"), address="192.0.2.7")[1]
    assert b"\0IPADDRESS\x01192.0.2.7" in asked and b"CLIENT_NAME" in asked and b"MTTS" not in asked
    assert play(sub(t.NEW_ENVIRON, b"\x01") + sub(t.TTYPE, b"\x01"))[1] == b""  # not agreed


@pytest.mark.parametrize(
    ("offer", "accepted", "encoding"),
    [
        (b";UTF-8;ISO-8859-1", b"UTF-8", "utf-8"),
        (b" iso-8859-1 utf-8", b"utf-8", "utf-8"),
        (b",BIG5", b"BIG5", "big5"),
        (b"[TTABLE]\x01;KOI8-R", b"KOI8-R", "koi8-r"),
        (b";EBCDIC", None, None),
        (b"", None, None),
    ],
)
def test_a_charset_is_chosen(offer: bytes, accepted: bytes | None, encoding: str | None) -> None:
    events, answers = play(will(t.CHARSET) + sub(t.CHARSET, b"\x01" + offer))
    if accepted is None:
        assert answers.endswith(sub(t.CHARSET, b"\x03")) and events == []
    else:
        assert answers.endswith(sub(t.CHARSET, b"\x02" + accepted)) and events == [Encoding(encoding)]


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_each_line_is_utf_8_or_the_encoding_of_the_game(encoding: str) -> None:
    sample = {"cp437": "█▀█", "koi8-r": "Привет", "cp1251": "Привет", "iso8859-2": "łódź"}.get(encoding)
    text = sample or {"gbk": "你好", "big5": "你好", "euc-kr": "안녕", "shift_jis": "こんにちは"}.get(encoding, "café")
    line = text.encode(encoding) + b"\n"
    content, expected = line + "Grüße 你\n".encode() + line, f"{text}\nGrüße 你\n{text}\n"
    for cut in range(len(content)):
        assert play(content[:cut], content[cut:], encoding=encoding)[0] == [Text(expected)]
    assert find_encoding(encoding) in ENCODINGS


def test_latin_1_is_read_where_utf_8_was_expected() -> None:
    assert play(b"caf\xe9\n")[0] == [Text("café\n")]
    assert play(b"caf\xe9" + bytes([t.IAC, t.GA]))[0] == [Text("café"), Prompt()]
    assert Decoder().decode(b"\xe2\x82") == ""


def test_lines_are_sent_in_the_encoding_without_control_characters() -> None:
    client = TelnetClient(Terminal(encoding="cp1252"))
    client.send_line("say ÿ\n\x1b[31m\0 你\t!")
    assert client.take_output() == b"say \xff\xff[31m ?\t!\r\n"


def test_gmcp() -> None:
    events, answers = play(
        will(t.GMCP)
        + sub(t.GMCP, b'Char.Vitals {"hp": 5}')
        + sub(t.GMCP, b"Core.Goodbye")
        + sub(t.GMCP, b"Char.Vitals {not json")
        + sub(t.GMCP, b"[" * 60_000)
        + sub(t.GMCP, b"A " + b"[" * 60_000)
        + sub(t.GMCP, b"")
    )
    assert events[:2] == [Gmcp("Char.Vitals", {"hp": 5}), Gmcp("Core.Goodbye", None)]
    assert all(event.data is None for event in events[2:])
    assert do(t.GMCP) in answers and b'Core.Hello {"client":"GOSSIP"' in answers and b"Core.Supports.Set [" in answers
    assert play(sub(t.GMCP, b"Char.Vitals 1"))[0] == []  # not agreed


def test_mssp_with_what_servers_send() -> None:
    content = (
        b"\x01NAME\x02Tr\xe9e\x01xterm_256_colors\x021\x01PORT\x0280\x024000\x01PORT\x0223\x01CODEBASE\x01\x02x\x02"
    )
    assert mssp.parse(content) == {
        "NAME": ["Trée"],
        "XTERM 256 COLORS": ["1"],
        "PORT": ["80", "4000", "23"],
    }
    events, answers = play(will(t.MSSP) + sub(t.MSSP, b"\x01PLAYERS\x0212"))
    assert events == [Mssp({"PLAYERS": ["12"]})] and answers == do(t.MSSP)
    assert len(mssp.parse(b"".join(b"\x01V%d\x02x" % number for number in range(5_000)))) == mssp.MAX_VARIABLES


@given(st.binary(max_size=200))
def test_mssp_never_fails(content: bytes) -> None:
    assert all(values for values in mssp.parse(content).values())


START = will(t.MCCP2) + sub(t.MCCP2, b"")


def test_compression_starts_in_the_middle_of_a_read_and_ends() -> None:
    content = b"squeezed\n" + will(t.ECHO) + b"\xff\xff" * 40_000
    whole = START + zlib.compress(content) + b"plain again\n"
    expected = play(will(t.MCCP2) + content + b"plain again\n")
    assert play(whole) == expected
    assert play(*(whole[start : start + 7] for start in range(0, len(whole), 7))) == expected


def test_compression_that_was_not_agreed_is_text() -> None:
    assert play(sub(t.MCCP2, b"") + b"text")[0] == [Text("text")]


def test_damaged_compression_is_reported() -> None:
    with pytest.raises(DamagedCompression):
        play(START + b"this is not deflated")


def test_a_compression_bomb_comes_in_bounded_pieces() -> None:
    """So that the caller can stop reading: 50 MB of zeros are some 50 KB on the wire."""
    client = TelnetClient(Terminal())
    assert list(client.receive(START)) == []
    longest = total = 0
    for event in client.receive(zlib.compress(b"a" * 50_000_000)):
        longest, total = max(longest, len(event.text)), total + len(event.text)
    assert total == 50_000_000 and longest <= INFLATED_BYTES


def test_a_subnegotiation_without_an_end_takes_bounded_memory() -> None:
    client = TelnetClient(Terminal())
    list(client.receive(will(t.GMCP) + bytes([t.IAC, t.SB, t.GMCP])))
    for _ in range(40):
        assert list(client.receive(b"x" * MAX_SUBNEGOTIATION)) == []
    assert list(client.receive(bytes([t.IAC, t.SE]) + b"on we go\n")) == [Text("on we go\n")]


def test_a_command_inside_a_subnegotiation_ends_it() -> None:
    assert play(bytes([t.IAC, t.SB, t.GMCP]) + b"Char" + will(t.ECHO) + b"hello")[0] == [Echo(True), Text("hello")]


def test_sizes_are_bounded_and_sent_only_when_agreed() -> None:
    client = TelnetClient(Terminal())
    client.resize(90, 20)
    assert client.take_output() == b""
    list(client.receive(do(t.NAWS)))
    client.take_output()
    client.resize(255, -4)
    assert client.take_output() == bytes([t.IAC, t.SB, t.NAWS, 0, 255, 255, 0, 1, t.IAC, t.SE])
