"""Object storage instead of a folder: the same smear, the same answers, and no public file."""

import io

import boto3
import pytest
import requests
from django.test import override_settings
from moto.server import ThreadedMotoServer

from cases import resumable
from cases.resumable import Chunk
from inference import handing_in, runs

BUCKET = "wbc-portal"
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "eu-west-1"}


@pytest.fixture
def bucket():
    server = ThreadedMotoServer(port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client("s3", endpoint_url=address, **KEYS)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    options = {"bucket_name": BUCKET, "endpoint_url": address, "access_key": "key", "secret_key": "secret"}
    storage = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {**options, "region_name": "eu-west-1", "file_overwrite": False},
    }
    static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES={"default": storage, "staticfiles": static}):
        yield client
    requests.post(f"{address}/moto-api/reset", timeout=30)
    server.stop()


def test_a_smear_lives_in_the_bucket_and_leaves_through_the_portal(
    bucket, clinician, stranger, case, field_file, findings, client_for
):
    handed_in = field_file().read()
    run = runs.submit(clinician, case, field_file())
    runs.save(run.pk, runs.QUEUE.claim(run.pk), findings)
    names = [entry["Key"] for entry in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert any(name.startswith("originals/") for name in names)
    assert any(name.startswith(f"runs/{run.pk}/cells/") for name in names)
    answer = client_for(clinician).get(f"/smears/{run.smear_id}/original")
    assert b"".join(answer) == handed_in
    assert client_for(stranger).get(f"/smears/{run.smear_id}/original").status_code == 404
    crop = client_for(clinician).get(f"/runs/{run.pk}/cells/8/crop.png")
    assert b"".join(crop).startswith(b"\x89PNG")


def test_a_file_that_came_in_parts_is_streamed_into_the_bucket(bucket, clinician, case, field_file, settings):
    content = field_file().read()
    upload = resumable.begin(clinician, case, name="field.png", size_bytes=len(content))
    resumable.receive(clinician, upload, Chunk(0, len(content), io.BytesIO(content)))
    smear = handing_in.finish(clinician, upload).smear
    assert bucket.get_object(Bucket=BUCKET, Key=smear.original.name)["Body"].read() == content
    assert list(settings.UPLOAD_DIR.iterdir()) == []
