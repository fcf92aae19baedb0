"""What a laboratory can set limits for, and the limits it starts with: ranges of leukocytes, red cells."""

from collections.abc import Mapping
from dataclasses import dataclass

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

RED_CELLS = {
    "macrocyte": _("Macrocyte"),
    "microcyte": _("Microcyte"),
    "sickle": _("Sickle cell"),
    "target": _("Target cell"),
    "spherocyte": _("Spherocyte"),
    "stomatocyte": _("Stomatocyte"),
    "ovalocyte": _("Ovalocyte"),
    "elliptocyte": _("Elliptocyte"),
    "teardrop": _("Teardrop cell"),
    "echinocyte": _("Echinocyte"),
    "schistocyte": _("Schistocyte"),
    "hypochromic": _("Hypochromic cell"),
    "malaria_infected": _("Malaria-infected cell"),
}
_SIZE_AND_COLOUR, _SHAPE = (5.0, 11.0, 20.0), (2.0, 5.0, 20.0)
DEFAULT_GRADES_PERCENT = {
    "macrocyte": _SIZE_AND_COLOUR,
    "microcyte": _SIZE_AND_COLOUR,
    "sickle": (0.5, 1.0, 2.0),
    "target": _SHAPE,
    "spherocyte": _SHAPE,
    "stomatocyte": _SHAPE,
    "ovalocyte": _SHAPE,
    "elliptocyte": _SHAPE,
    "teardrop": _SHAPE,
    "echinocyte": _SHAPE,
    "schistocyte": (0.2, 1.0, 2.0),
    "hypochromic": _SIZE_AND_COLOUR,
    "malaria_infected": (0.1, 1.0, 2.0),
}
"""Their sources are in docs/red_cells.md."""


@dataclass(frozen=True, slots=True)
class RedCellLimits:
    """A laboratory's limits for red cells: the least and the greatest normal diameter in µm and, by class,
    the limits of 1+, 2+ and 3+ in % of the classified red cells."""

    diameter_um: tuple[float, float]
    grades_percent: Mapping[str, tuple[float, float, float]]
