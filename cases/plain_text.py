"""What people type, as it is kept: plain text that can be shown, printed and sent."""


def plain(text: str) -> str:
    """One kind of line end, nothing around it, and a space for what cannot be printed on paper or in HL7."""
    lines = text.strip().splitlines()
    return "\n".join("".join(sign if sign.isprintable() else " " for sign in line) for line in lines).strip()
