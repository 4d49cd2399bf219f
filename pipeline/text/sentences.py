"""Sentence borders, by the rules that Wikimedia keeps for 300 languages."""


def split(paragraph: str, language: str = "en") -> list[str]:
    """Split a paragraph into sentences: each stripped, none empty, no character lost but spaces.

    `language` is a code of ISO 639; one without rules of its own is split by the general rules.

    Source: sentencex, https://github.com/wikimedia/sentencex
    """
    from sentencex import segment

    return [sentence for part in segment(language, paragraph) if (sentence := part.strip())]
