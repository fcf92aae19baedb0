"""A file that has arrived in parts becomes a smear with a queued run."""

from typing import Any

from accounts.types import User
from cases import resumable
from inference import runs
from inference.models import AnalysisRun


def finish(actor: User, upload: Any) -> AnalysisRun:
    """The run of a received file: queued the first time, and the same one whenever it is asked for again.

    Raises UploadRefused when the file is not accepted, UploadConflict while it is not whole, UploadBusy while
    it is being examined for another request, and NoRoom when the storage is full.
    """
    try:
        with resumable.finishing(actor, upload) as file:
            return runs.submit(actor, upload.case, file)
    except resumable.AlreadyFinished:
        return AnalysisRun.objects.get(smear__upload=upload.pk)
