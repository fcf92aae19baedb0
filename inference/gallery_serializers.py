"""What the API takes and gives when many cells are called at once."""

from rest_framework import serializers

from inference.names import CLASS_NAMES
from inference.reclassify import MOST

SEEN = "The id of the person's word that was seen standing; null: none was. Another one refuses this cell."
LARGEST_ID = 2**63 - 1


class AskedSerializer(serializers.Serializer):
    number = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="`cell_id` in the result.")
    seen = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, allow_null=True, help_text=SEEN)


class WantedSerializer(AskedSerializer):
    label = serializers.ChoiceField(choices=list(CLASS_NAMES))  # type: ignore[assignment]


class BackSerializer(AskedSerializer):
    back_to = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        allow_null=True,
        help_text="The id of the word that is said anew; null: none. Where another's word stands, its own id "
        "takes the caller's second reading back.",
    )


class WantedCellsSerializer(serializers.Serializer):
    cells = serializers.ListField(child=WantedSerializer(), min_length=1, max_length=MOST)


class BackCellsSerializer(serializers.Serializer):
    cells = serializers.ListField(child=BackSerializer(), min_length=1, max_length=MOST)


class ChangedSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    before = serializers.IntegerField(allow_null=True, help_text="The id of the word that stood.")
    after = serializers.IntegerField(allow_null=True, help_text="The id of the word that stands.")
    label = serializers.CharField(help_text="What the cell counts as now.")  # type: ignore[assignment]
    corrected = serializers.BooleanField(help_text="Whether that is not what the machine called it.")
    second = serializers.BooleanField(
        help_text="Whether the second pathologist's call came or went, beside the first one's, which stands."
    )


class UnchangedSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    why = serializers.CharField()


class OutcomeSerializer(serializers.Serializer):
    """What became of the cells that were asked for."""

    changed = ChangedSerializer(many=True)
    unchanged = UnchangedSerializer(many=True)
