"""Contents of reports whose staging was requested, with known figures."""

from dataclasses import replace
from datetime import UTC, datetime

from inference.pipeline.findings import StagingStatus
from reports.content import ReportContent
from reports.staging import CaseStaging, StagedImage, StageShare
from tests.stagings import NETWORK, NO_PATIENT_TEST

REQUESTED_AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SHARES = (
    StageShare("benign", "Benign", 3.0, 0.4, 6.1),
    StageShare("early_pre_b", "Early pre-B ALL", 3.0, 0.2, 5.9),
    StageShare("pre_b", "Pre-B ALL", 91.0, 85.2, 96.8),
    StageShare("pro_b", "Pro-B ALL", 3.0, 0.1, 6.3),
)
AGREED = StagedImage(
    image=1,
    name="field 1.png",
    status=StagingStatus.STAGED,
    label="pre_b",
    label_name="Pre-B ALL",
    machine_label="pre_b",
    machine_label_name="Pre-B ALL",
    shares=SHARES,
    used=6,
    total=9,
    left_out=(("too few nucleated cells", 2), ("colours outside the training range", 1)),
    reasons=("a stage of leukemia was called",),
    reviewed_by="Paul Path",
    comment="nucleoli seen",
    network=NETWORK,
    notices=(NO_PATIENT_TEST,),
)
OTHERWISE = replace(AGREED, label="benign", label_name="Benign")
ABSTAINED = replace(
    OTHERWISE, status=StagingStatus.ABSTAINED, machine_label="", machine_label_name="", comment=""
)
NOT_STAGEABLE = replace(
    AGREED,
    image=2,
    name="field 2.png",
    status=StagingStatus.NOT_STAGEABLE,
    label="not_stageable",
    label_name="Not stageable",
    machine_label="not_stageable",
    machine_label_name="Not stageable",
    shares=(),
    used=0,
    total=4,
    left_out=(("too few nucleated cells", 4),),
)


def with_staging(content: ReportContent, *images: StagedImage) -> ReportContent:
    networks = (*content.images[0].networks, NETWORK)
    shown = (replace(content.images[0], networks=networks),)
    return replace(content, images=shown, staging=CaseStaging("Clara Clinic", REQUESTED_AT, images))
