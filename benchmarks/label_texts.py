"""What the labels of some datasets mean, in our words."""

from collections.abc import Mapping, Sequence

DESCRIBED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "sst2": {
        "positive": ("a film review that praises: moving, funny, brilliant",),
        "negative": ("a film review that complains: dull, stupid, a waste of time",),
    },
    "trec": {
        "abbreviation": ("what an abbreviation stands for",),
        "description": ("a definition, reason or explanation: what is it, why, how",),
        "entity": ("a thing: an animal, a colour, a product, food, a sport, a language",),
        "human": ("a person or a group of people: who",),
        "location": ("a place: where, which city, country or state",),
        "numeric": ("a number: how many, how much, how long, when, a date",),
    },
    "ag_news": {
        "World": ("international politics, war, governments",),
        "Sports": ("games, players, teams and results",),
        "Business": ("companies, markets, money and the economy",),
        "Sci/Tech": ("science, computers, software and the internet",),
    },
    "sms_spam": {
        "spam": ("an advertisement: win a prize, call this number, free offer",),
        "ham": ("a personal message to a friend or the family",),
    },
}


def as_prompt(dataset: str) -> str:
    """A prompt text that says what each label means; empty where nothing is known of them."""
    meanings = DESCRIBED.get(dataset, {})
    told = "; ".join(f"{label}: {', '.join(said)}" for label, said in meanings.items())
    return f"classify the text as {told}. text:" if told else ""
