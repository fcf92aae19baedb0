"""The leukocyte classes a laboratory can give a reference range for, and the ranges it starts with."""

from django.utils.translation import gettext_lazy as _

LEUKOCYTES = {
    "neutrophil": _("Neutrophil"),
    "lymphocyte": _("Lymphocyte"),
    "monocyte": _("Monocyte"),
    "eosinophil": _("Eosinophil"),
    "basophil": _("Basophil"),
    "immature_granulocyte": _("Immature granulocyte"),
    "blast": _("Blast"),
}
DEFAULT_RANGES_PERCENT = {
    "neutrophil": (50.0, 70.0),
    "lymphocyte": (20.0, 40.0),
    "monocyte": (2.0, 10.0),
    "eosinophil": (1.0, 4.0),
    "basophil": (0.0, 1.0),
}
