"""What keeps the answer to one question from being served for another that reads almost alike."""

import pytest

from penstock.cache.gate import disagreement


@pytest.mark.parametrize(
    ("asked", "stored", "check"),
    [
        ("Is it allowed to park here?", "Is it not allowed to park here?", "negation"),
        ("Can I travel with a dog?", "Can't I travel with a dog?", "negation"),
        ("What is 15% of 80?", "What is 25% of 80?", "numbers"),
        ("Convert 10 kg to pounds", "Convert 10 km to pounds", "units"),
        ("How much is a ticket to Paris?", "How much is a ticket to London?", "kinds"),
        ("Who is Ada Lovelace?", "Who is Grace Hopper?", "names"),
        ("How do I get from Paris to London?", "How do I get from London to Paris?", "kinds"),
        ("Does Anna owe Ben money?", "Does Ben owe Anna money?", "names"),
        ("Where was she born?", "When was she born?", "question"),
        ("Why was my card charged?", "Where was my card charged?", "question"),
        ("How do I enable roaming?", "How do I disable roaming?", "opposites"),
        ("What happens before a vote?", "What happens after a vote?", "opposites"),
        ("how do i get a refund in france", "how do i get a refund in germany", "kinds"),
        ("what is the capital of egypt?", "what is the capital of iran?", "kinds"),
        ("Are you open on sundays?", "Are you open on mondays?", "kinds"),
        ("Is red meat healthy?", "Is white meat healthy?", "kinds"),
        ("how do i get from the airport to the city", "how do i get from the city to the airport", "names"),
        ("convert 10 usd to eur", "how do I convert 10 eur into usd?", "units"),
        ("How far is Paris from Rome?", "How far is Rome to Paris from here?", "kinds"),
        ("Who is taller, Tom or Jim?", "Who is shorter, Tom or Jim?", "opposites"),
        ("Can dogs eat grapes?", "Can cats eat grapes?", "kinds"),
        ("What is the boiling point of water?", "What is the freezing point of water?", "opposites"),
        ("Enabling two-factor login", "Disabled two-factor login", "opposites"),
        ("Can I unsubscribe by mail?", "Can I subscribe by mail?", "opposites"),
        ("Is this legal?", "Is this illegal?", "opposites"),
        ("How do I deactivate my card?", "How do I activate my card?", "opposites"),
        ("Does the price include tax?", "Does the price exclude tax?", "opposites"),
        ("How can I gain weight?", "How can I lose weight?", "opposites"),
        ("Where is the station?", "Где находится станция?", "script"),
        ("Wie ist der Wechselkurs und was kann ich tun?", "What is the exchange rate and what can I do?", "language"),
    ],
)
def test_what_differs_is_told_apart(asked: str, stored: str, check: str) -> None:
    assert disagreement(asked, stored) == disagreement(stored, asked) == check


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("How do I reset my password?", "how can I reset my password"),
        ("I'd like to order two tickets", "Please let me order 2 tickets"),
        ("Is my payment failing?", "My payment was not successful"),
        ("What is the price in EUR?", "What's the price in euros?"),
        ("Tell me about Berlin", "tell me something about berlin"),
        ("What time do you open on Saturdays?", "When do you open on Saturday?"),
        ("Can I pay in euros or dollars?", "Can I pay in dollars or euros?"),
        ("Do you deliver in Germany?", "do you deliver to german addresses in germany"),
        ("How do I put money on my card?", "How can I put money onto the card?"),
        ("What does it cost to send 1,000 letters?", "Cost to send 1000 letters?"),
    ],
)
def test_a_paraphrase_passes(asked: str, stored: str) -> None:
    assert disagreement(asked, stored) is None
