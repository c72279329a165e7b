"""Capitals of countries (as in Hanna et al. 2024, arXiv 2403.17806), our own sentences.

"The capital of France is the city of" is continued by " Paris". The corrupted prompt names another
country, whose capital is the incorrect answer. Splits share no country.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import SPLITS, TaskData, pools
from harness_circuits.task_data.marks import marked, with_spans

CAPITALS = """
Afghanistan Kabul; Albania Tirana; Algeria Algiers; Angola Luanda; Argentina Buenos Aires; Armenia
Yerevan; Australia Canberra; Austria Vienna; Azerbaijan Baku; Bahrain Manama; Bangladesh Dhaka;
Belarus Minsk; Belgium Brussels; Bolivia La Paz; Botswana Gaborone; Brazil Brasilia; Bulgaria Sofia;
Cambodia Phnom Penh; Cameroon Yaounde; Canada Ottawa; Chile Santiago; China Beijing; Colombia Bogota;
Croatia Zagreb; Cuba Havana; Cyprus Nicosia; Denmark Copenhagen; Ecuador Quito; Egypt Cairo; Eritrea
Asmara; Estonia Tallinn; Ethiopia Addis Ababa; Fiji Suva; Finland Helsinki; France Paris; Georgia
Tbilisi; Germany Berlin; Ghana Accra; Greece Athens; Haiti Port-au-Prince; Honduras Tegucigalpa;
Hungary Budapest; Iceland Reykjavik; India New Delhi; Indonesia Jakarta; Iran Tehran; Iraq Baghdad;
Ireland Dublin; Italy Rome; Jamaica Kingston; Japan Tokyo; Jordan Amman; Kazakhstan Astana; Kenya
Nairobi; Latvia Riga; Lebanon Beirut; Libya Tripoli; Lithuania Vilnius; Madagascar Antananarivo;
Malaysia Kuala Lumpur; Mali Bamako; Malta Valletta; Moldova Chisinau; Mongolia Ulaanbaatar; Morocco
Rabat; Mozambique Maputo; Namibia Windhoek; Nepal Kathmandu; Netherlands Amsterdam; Nicaragua Managua;
Nigeria Abuja; Norway Oslo; Oman Muscat; Pakistan Islamabad; Paraguay Asuncion; Peru Lima;
Philippines Manila; Poland Warsaw; Portugal Lisbon; Qatar Doha; Romania Bucharest; Russia Moscow;
Rwanda Kigali; Senegal Dakar; Serbia Belgrade; Slovakia Bratislava; Slovenia Ljubljana; Somalia
Mogadishu; Spain Madrid; Sudan Khartoum; Sweden Stockholm; Switzerland Bern; Syria Damascus; Thailand
Bangkok; Tunisia Tunis; Turkey Ankara; Uganda Kampala; Ukraine Kyiv; Uruguay Montevideo; Venezuela
Caracas; Vietnam Hanoi; Yemen Sanaa; Zambia Lusaka; Zimbabwe Harare
"""
FACTS = tuple(tuple(fact.split(maxsplit=1)) for fact in CAPITALS.split(";"))
TEMPLATES = (
    "The capital of {} is the city of",
    "The capital city of {} is called",
    "Q: What is the capital of {}? A: The capital is",
    "If you visit the capital of {}, you are in",
    "The government of {} sits in its capital,",
)


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    facts = pools("country_capital_circuit", FACTS)
    while True:
        fact, other = generator.sample(facts[generator.choice(SPLITS)], 2)
        template = generator.choice(TEMPLATES)
        yield with_spans(
            {
                "key": str(fact),
                "clean": template.format(marked("country", fact[0])),
                "corrupted": template.format(marked("country", other[0])),
                "choices": [f" {fact[1]}", f" {other[1]}"],
                "correct": [0],
                "incorrect": [1],
                "template": TEMPLATES.index(template),
            }
        )


dataset = TaskData("country_capital_circuit", candidates)
