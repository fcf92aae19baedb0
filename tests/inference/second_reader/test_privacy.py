"""What leaves the house: two pictures of one cell and its class context; to whom, and how."""

import datetime
import io
import json
import ssl
import struct
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from inference.second_reader import posting
from inference.second_reader.choices import Endpoint, Speaks
from inference.second_reader.png import MAX_SIDE, bare_png
from inference.second_reader.prompt import INSTRUCTIONS
from tests.inference.second_reader.conftest import CONTEXT, CROP, OVERLAY, gemini, openai, picture, reader
from tests.inference.second_reader.model_server import GOOD, says, status

PATIENT = "Doe Jane 1970-01-01 case 2024-0815 run 7f3a smear_left.tif"


def chunks(png: bytes) -> list[bytes]:
    names, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        names.append(png[at + 4 : at + 8])
        at += 12 + length
    return names


def talkative_png() -> bytes:
    """A PNG that tells whose it is in text, EXIF and profile, and behind its end."""
    image = Image.open(io.BytesIO(CROP))
    notes = PngInfo()
    notes.add_text("Patient", PATIENT)
    notes.add_itxt("Case", PATIENT)
    exif = Image.Exif()
    exif[0x010E] = PATIENT
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=notes, exif=exif, icc_profile=profile, dpi=(300, 300))
    return buffer.getvalue() + PATIENT.encode()


@pytest.mark.parametrize("endpoint", [openai, gemini], ids=["openai", "gemini"])
def test_the_body_holds_pictures_and_context_and_nothing_else(serving, endpoint):
    model = serving.start()
    assert b"Jane" in talkative_png()
    assert reader(endpoint(model)).read(talkative_png(), talkative_png(), CONTEXT)
    (request,) = model.received
    for png in request.pictures:
        assert set(chunks(png)) == {b"IHDR", b"IDAT", b"IEND"}
        assert png.endswith(b"IEND\xaeB`\x82")
    pixels = [list(Image.open(io.BytesIO(png)).get_flattened_data()) for png in (CROP, request.pictures[0])]
    assert pixels[0] == pixels[1]
    assert "Jane" not in json.dumps(request.body) + str(request.headers) + request.path


def test_every_word_that_is_sent_is_known(serving):
    model = serving.start()
    reader(openai(model)).read(CROP, OVERLAY, CONTEXT)
    body = model.received[0].body
    assert set(body) == {"model", "messages", "response_format", "temperature", "max_tokens"}
    system, user = body["messages"]
    assert system == {"role": "system", "content": INSTRUCTIONS}
    text, *pictures = user["content"]
    assert [part["type"] for part in pictures] == ["image_url", "image_url"]
    assert text["text"].splitlines() == [
        "The network calls this cell: neutrophil (calibrated confidence 62%).",
        "It chose among: neutrophil, eosinophil, basophil, lymphocyte, monocyte, immature granulocyte, blast,"
        " erythroblast, platelet, artifact.",
        "Share of the heat map that lies on the cell: 48%.",
        "Haematological criteria of neutrophil:",
        "- Nucleus of two to five lobes",
        "- Fine lilac granules",
    ]


def test_gemini_is_sent_the_same_words(serving):
    first, second = serving.start(status(404)), serving.start()
    reader(openai(first), gemini(second)).read(CROP, OVERLAY, CONTEXT)
    asked, again = first.received[0].body, second.received[0].body
    assert set(again) == {"system_instruction", "contents", "generationConfig"}
    assert again["system_instruction"]["parts"][0]["text"] == asked["messages"][0]["content"]
    assert again["contents"][0]["parts"][0]["text"] == asked["messages"][1]["content"][0]["text"]
    assert first.received[0].pictures == second.received[0].pictures


def test_the_headers_tell_nothing_about_the_machine(serving):
    model = serving.start()
    reader(openai(model)).read(CROP, OVERLAY, CONTEXT)
    sent = {name.lower(): value for name, value in model.received[0].headers.items()}
    expected = {"host", "accept", "accept-encoding", "connection", "user-agent", "authorization"}
    assert set(sent) == expected | {"content-length", "content-type"}
    assert sent["user-agent"] == "wbc-portal"


@pytest.mark.parametrize(
    ("png", "problem"),
    [(b"", "has to be a PNG"), (b"GIF89a", "has to be a PNG"), (CROP[:200], "has to be a PNG")],
    ids=["empty", "gif", "truncated"],
)
def test_only_png_is_sent(png, problem):
    with pytest.raises(ValueError, match=problem):
        bare_png(png)


def test_a_field_is_never_sent(serving):
    model = serving.start()
    with pytest.raises(ValueError, match="at most 512 px"):
        reader(openai(model)).read(picture(side=MAX_SIDE + 1), OVERLAY, CONTEXT)
    assert model.received == []


def test_a_proxy_of_the_environment_is_used(serving, monkeypatch):
    proxy = serving.start(says(GOOD))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    assert reader(Endpoint(Speaks.OPENAI, "http://model.invalid/v1", "m")).read(CROP, OVERLAY, CONTEXT)
    assert proxy.received[0].path == "http://model.invalid/v1/chat/completions"


@pytest.fixture
def certificates_read_anew():
    posting._certificates.cache_clear()
    yield
    posting._certificates.cache_clear()


def test_a_certificate_that_nobody_vouches_for_ends_the_talk(serving, tmp_path, certificates_read_anew):
    model = serving.start(context=self_signed(tmp_path))
    assert model.url.startswith("https://")
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT) is None
    assert model.received == []


def test_the_same_server_is_believed_once_its_certificate_is(
    serving, tmp_path, monkeypatch, certificates_read_anew
):
    model = serving.start(context=self_signed(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT)


def self_signed(folder) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "certificate.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context
