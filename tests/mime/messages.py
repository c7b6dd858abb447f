"""Small messages that several tests read."""

PLAIN = (
    b"From: a@x.example\r\nDate: Mon, 1 Jan 2001 00:00:00 +0100\r\nSubject: Re: plain\r\n\r\n"
    b"Hello there,\r\nhow are\r\n"
)

MIXED = b"""\
From: a@x.example
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b1

This is a multi-part message in MIME format.
--b1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable
Content-Language: en, de

=C3=A4
--b1
Content-Type: image/png; name="a b.png"
Content-Transfer-Encoding: base64
Content-ID: <1@x>
Content-Description: a picture
Content-Location: http://x.example/
Content-Disposition: attachment; filename="a b.png";
\tsize=6

AAAAAAAA
--b1--
the end
""".replace(b"\n", b"\r\n")

ATTACHED = b"""\
Content-Type: multipart/mixed; boundary=b1

--b1
Content-Type: message/rfc822

From: in@x.example
Subject: inner

one
two
--b1--
""".replace(b"\n", b"\r\n")

# a multipart in a message in a multipart
NESTED = b"""\
Content-Type: multipart/mixed; boundary=b1

--b1

first
--b1
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=b2

--b2
Content-Type: text/plain

plain
--b2
Content-Type: text/html

<p>html</p>
--b2--
--b1
Content-Type: multipart/mixed; boundary=b3

--b3

deep
--b3--

--b1--
""".replace(b"\n", b"\r\n")

DIGEST = b"""\
Content-Type: multipart/digest; boundary=b1

--b1

Subject: one

text
--b1
Content-Type: text/html

x
--b1--
""".replace(b"\n", b"\r\n")
