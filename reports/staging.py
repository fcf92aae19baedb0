"""The leukemia staging of a case in the frozen content of its report."""

from dataclasses import dataclass
from datetime import datetime

from inference.pipeline.findings import NetworkUsed, Notice, StagingStatus


@dataclass(frozen=True, slots=True)
class StageShare:
    """One stage: its mean probability over the fields, with the 95 % interval over fields, in %."""

    key: str
    name: str
    percent: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StagedImage:
    """The staging of one image: the machine's word, and the person's that counts where there is one.

    `label` is empty where neither has a word, `machine_label` where the network abstained. `used` of `total`
    fields were staged; `left_out` says in words why how many others were not.
    """

    image: int
    name: str
    status: StagingStatus
    label: str
    label_name: str
    machine_label: str
    machine_label_name: str
    shares: tuple[StageShare, ...]
    used: int
    total: int
    left_out: tuple[tuple[str, int], ...]
    reasons: tuple[str, ...]
    reviewed_by: str
    comment: str
    network: NetworkUsed | None
    notices: tuple[Notice, ...]

    @property
    def key(self) -> str:
        """What the figure is known by; that of the first image stands where "not requested" stood before."""
        return "staging" if self.image == 1 else f"staging-{self.image}"

    @property
    def is_staged(self) -> bool:
        """Whether there is a stage to report."""
        return bool(self.label) and self.label != StagingStatus.NOT_STAGEABLE

    @property
    def named_by(self) -> NetworkUsed | None:
        """The network whose word counts; none where a person said something else, or the network nothing."""
        return self.network if self.label == self.machine_label else None

    @property
    def sentence(self) -> str:
        """What the report says of this image, never a probability without its n and its interval."""
        where = f"Leukemia staging, image {self.image} ({self.name})"
        if not self.reviewed_by:
            return f"{where}: {self.label_name}{self._by_fields}. No person has answered it."
        if self.label == self.machine_label:
            return f"{where}: {self.label_name}{self._by_fields}, agreed by {self.reviewed_by}."
        said = f"said {self.machine_label_name}" if self.machine_label else "abstained"
        machine = f"the network {said}{self._by_fields}"
        return f"{where}: {self.label_name}, answered by {self.reviewed_by}; {machine}."

    @property
    def _by_fields(self) -> str:
        """The probability of the machine's stage with all that belongs to it, or why there is none."""
        for share in self.shares:
            if share.key == self.machine_label:
                interval = f"95 % interval over fields {share.low:.1f}–{share.high:.1f} %"
                return f", {share.percent:.1f} % ({interval}, n = {self.used} of {self.total} fields)"
        return f" ({self.used} of {self.total} fields could be staged)" if self.total else ""


@dataclass(frozen=True, slots=True)
class CaseStaging:
    """Whether staging was requested for the case, and what came of it for each of its images."""

    requested_by: str = ""
    requested_at: datetime | None = None
    images: tuple[StagedImage, ...] = ()

    @property
    def requested(self) -> bool:
        return self.requested_at is not None

    @property
    def label(self) -> str:
        """The stage that all images have in common; empty where they differ or have none."""
        labels = {image.label if image.is_staged else "" for image in self.images}
        return labels.pop() if len(labels) == 1 else ""

    @property
    def summary(self) -> tuple[str, ...]:
        """The stage in one sentence for the summary; nothing where staging was not requested."""
        if not self.requested:
            return ()
        named = dict.fromkeys(image.label_name for image in self.images)
        return (f"Leukemia staging: {', '.join(named)}.",) if named else ()

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What is to be said beside the calls, once."""
        return tuple(dict.fromkeys(notice for image in self.images for notice in image.notices))

    @property
    def words(self) -> tuple[str, ...]:
        """Everything the report says of staging in sentences; nothing where it was not requested."""
        return (*(image.sentence for image in self.images), *(notice.text for notice in self.notices))
