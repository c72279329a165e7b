"""Right answers of the offline tasks, worked out again from the text of a prompt.

Nothing here uses the tasks' code or word lists. What is right follows from the prompt alone (names,
sums, words that repeat), or from facts that are written down here a second time.
"""

from __future__ import annotations

import re

Answers = tuple[set[str], set[str]]  # right and wrong, without the space before them

CAPITALS = """
Kabul=Afghanistan Tirana=Albania Algiers=Algeria Luanda=Angola Buenos_Aires=Argentina
Yerevan=Armenia Canberra=Australia Vienna=Austria Baku=Azerbaijan Manama=Bahrain Dhaka=Bangladesh
Minsk=Belarus Brussels=Belgium La_Paz=Bolivia Gaborone=Botswana Brasilia=Brazil Sofia=Bulgaria
Phnom_Penh=Cambodia Yaounde=Cameroon Ottawa=Canada Santiago=Chile Beijing=China Bogota=Colombia
Zagreb=Croatia Havana=Cuba Nicosia=Cyprus Copenhagen=Denmark Quito=Ecuador Cairo=Egypt
Asmara=Eritrea Tallinn=Estonia Addis_Ababa=Ethiopia Suva=Fiji Helsinki=Finland Paris=France
Tbilisi=Georgia Berlin=Germany Accra=Ghana Athens=Greece Port-au-Prince=Haiti
Tegucigalpa=Honduras Budapest=Hungary Reykjavik=Iceland New_Delhi=India Jakarta=Indonesia
Tehran=Iran Baghdad=Iraq Dublin=Ireland Rome=Italy Kingston=Jamaica Tokyo=Japan Amman=Jordan
Astana=Kazakhstan Nairobi=Kenya Riga=Latvia Beirut=Lebanon Tripoli=Libya Vilnius=Lithuania
Antananarivo=Madagascar Kuala_Lumpur=Malaysia Bamako=Mali Valletta=Malta Chisinau=Moldova
Ulaanbaatar=Mongolia Rabat=Morocco Maputo=Mozambique Windhoek=Namibia Kathmandu=Nepal
Amsterdam=Netherlands Managua=Nicaragua Abuja=Nigeria Oslo=Norway Muscat=Oman
Islamabad=Pakistan Asuncion=Paraguay Lima=Peru Manila=Philippines Warsaw=Poland Lisbon=Portugal
Doha=Qatar Bucharest=Romania Moscow=Russia Kigali=Rwanda Dakar=Senegal Belgrade=Serbia
Bratislava=Slovakia Ljubljana=Slovenia Mogadishu=Somalia Madrid=Spain Khartoum=Sudan
Stockholm=Sweden Bern=Switzerland Damascus=Syria Bangkok=Thailand Tunis=Tunisia Ankara=Turkey
Kampala=Uganda Kyiv=Ukraine Montevideo=Uruguay Caracas=Venezuela Hanoi=Vietnam Sanaa=Yemen
Lusaka=Zambia Harare=Zimbabwe
"""
CAPITAL_OF = {
    country.replace("_", " "): city.replace("_", " ")
    for city, country in (entry.split("=") for entry in CAPITALS.split())
}

LANGUAGE_OF = """
Brazil Portuguese, Portugal Portuguese, Lisbon Portuguese, Spain Spanish, Madrid Spanish, Mexico Spanish,
Cuba Spanish, Argentina Spanish, Chile Spanish, Peru Spanish, Colombia Spanish, France French,
Paris French, Lyon French, Marseille French, Austria German, Germany German, Berlin German,
Hamburg German, Munich German, Italy Italian, Rome Italian, Milan Italian, Venice Italian,
Moscow Russian, Russia Russian, Beijing Chinese, Shanghai Chinese, China Chinese, Tokyo Japanese,
Osaka Japanese, Japan Japanese, Iraq Arabic, Syria Arabic, Egypt Arabic, Morocco Arabic, Athens Greek,
Greece Greek, Poland Polish, Warsaw Polish, Amsterdam Dutch, Rotterdam Dutch, Chicago English,
Boston English, London English, England English, Australia English, Turkey Turkish, Istanbul Turkish,
Sweden Swedish, Stockholm Swedish, Korea Korean, Seoul Korean
"""
COUNTRY_OF = """
Bordeaux France, Nice France, Paris France, Lyon France, Marseille France, Berlin Germany, Munich Germany,
Hamburg Germany, Frankfurt Germany, Cologne Germany, Stuttgart Germany, Turin Italy, Florence Italy,
Naples Italy, Venice Italy, Milan Italy, Rome Italy, Seville Spain, Valencia Spain, Barcelona Spain,
Madrid Spain, Kyoto Japan, Hiroshima Japan, Osaka Japan, Tokyo Japan, Nanjing China, Shanghai China,
Beijing China, Delhi India, Mumbai India, Chennai India, Kolkata India, Calgary Canada, Ottawa Canada,
Vancouver Canada, Montreal Canada, Toronto Canada, Perth Australia, Brisbane Australia, Sydney Australia,
Melbourne Australia, Alexandria Egypt, Cairo Egypt, Moscow Russia, Sao Paulo Brazil,
Rio de Janeiro Brazil, Krakow Poland, Warsaw Poland, Ankara Turkey, Istanbul Turkey, Tehran Iran,
Liverpool England, Manchester England, London England
"""
CONTINENT_OF = """
France Europe, Germany Europe, Italy Europe, Spain Europe, Poland Europe, Sweden Europe, Norway Europe,
Greece Europe, Austria Europe, Finland Europe, Egypt Africa, Kenya Africa, Nigeria Africa, Ghana Africa,
Morocco Africa, Ethiopia Africa, Uganda Africa, Zambia Africa, Senegal Africa, Mali Africa, China Asia,
Japan Asia, India Asia, Vietnam Asia, Thailand Asia, Nepal Asia, Pakistan Asia, Korea Asia,
Mongolia Asia, Brazil South, Chile South, Peru South, Bolivia South, Argentina South, Ecuador South,
Uruguay South
"""
YOUNG_OF = """
dog puppy, cat kitten, cow calf, whale calf, elephant calf, sheep lamb, lion cub, bear cub, tiger cub,
hen chick
"""
OPPOSITE_OF = """
hot cold, cold hot, big small, large small, small big, fast slow, slow fast, tall short, long short,
light dark, bright dark, young old, new old, strong weak, weak strong, rich poor, poor rich, happy sad,
sad happy, wet dry, dry wet, good bad, bad good, late early, early late, up down, down up, right left,
left right
"""
RELATIONS = (
    (r"(?:language that people speak in|^In) (.+?)(?: is$|, nearly everyone speaks$)", LANGUAGE_OF),
    (r"^The city of (.+) is located in the country of$", COUNTRY_OF),
    (r"^(.+) is a large city in$", COUNTRY_OF),
    (r"^(.+) is a country on the continent of$", CONTINENT_OF),
    (r"^The country (.+) lies in$", CONTINENT_OF),
    (r"(?:young of a|baby) (.+) is (?:called|known as) a$", YOUNG_OF),
    (r"opposite of (.+) is$", OPPOSITE_OF),
)

KINDS = """
birds animals: robins eagles crows owls ducks swans gulls sparrows geese hawks pigeons doves
insects animals: ants bees beetles moths wasps flies crickets mosquitoes butterflies
fish animals: salmon trout tuna sharks herring carp eels cod
mammals animals: wolves bears lions whales tigers foxes dogs horses cows elephants mice bats
fruits foods: apples pears peaches plums grapes oranges lemons bananas cherries mangoes
vegetables foods: carrots onions peas cabbages potatoes tomatoes beans lettuce spinach leeks
tools: hammers saws drills wrenches shovels axes screwdrivers pliers chisels rakes
weapons: guns rifles swords spears pistols knives arrows cannons daggers bombs
vehicles: cars trucks buses vans motorcycles trains tractors taxis bicycles ambulances
clothes: shirts coats socks jackets skirts dresses pants sweaters hats gloves scarves
furniture: chairs tables desks sofas beds couches shelves cabinets stools benches
instruments: violins guitars drums flutes trumpets pianos harps cellos clarinets
metals: iron copper gold silver zinc tin lead aluminum nickel steel
colors: red blue green yellow purple orange pink brown black white
drinks beverages: coffee tea juice milk wine beer soda lemonade whiskey vodka
diseases: malaria measles cancer influenza diabetes cholera polio asthma tuberculosis
languages: French German Spanish Italian Russian Chinese Arabic Japanese Greek Latin
sports: football tennis hockey baseball golf basketball cricket soccer rugby swimming
buildings: houses churches schools hospitals hotels castles museums towers temples barns
flowers plants: roses tulips lilies daisies violets orchids sunflowers daffodils
trees plants: oaks pines maples birches willows elms palms cedars firs
"""
KINDS_OF = {
    word: set(kinds.split())
    for kinds, words in (line.split(": ") for line in KINDS.strip().splitlines())
    for word in words.split()
}

WOMEN = set(
    "Alice Amy Anna Elizabeth Emily Emma Eva Grace Hannah Helen Jane Jennifer Jessica Julia Karen "
    "Kate Laura Linda Lisa Maria Mary Michelle Nancy Olivia Rachel Ruth Sarah Sophia Susan "
    "Victoria Margaret Barbara Catherine Christine Diana Rebecca Sandra Amanda Melissa Lucy".split()
)
WOMENS_JOBS = set(
    "nurse secretary receptionist librarian dancer teacher maid nanny housekeeper hairdresser "
    "midwife stylist babysitter cheerleader dietitian florist homemaker model singer therapist "
    "counselor caregiver governess".split()
)
SINGULAR_VERBS = set("is was has does looks seems makes comes goes wants needs gives takes".split())
SINGULAR_VERBS |= set("knows likes gets".split())
PLURAL_VERBS = set(
    "are were have do look seem make come go want need give take know like get".split()
)
SPEAKS_OF_THE_OCCUPATION = (
    "had finished all the repairs",
    "had to treat the disease",
    "had graded all the exams",
    "was asking the questions",
    "had prepared the meal",
    "knew how to fly",
    "wanted to hire someone",
    "had recommended the book",
)


def names_in(text: str, choices: set[str]) -> list[str]:
    """The words of a text that are among the choices, in their order."""
    return [word for word in re.findall(r"\w+", text) if word in choices]


def ioi(clean: str, choices: set[str]) -> Answers:
    """Whoever is not the subject of the last sentence, which names one of them last."""
    subject = names_in(clean, choices)[-1]
    return choices - {subject}, {subject}


def induction(clean: str, choices: set[str]) -> Answers:
    """What followed the last word where it occurred before."""
    words = clean.split()
    right = words[words.index(words[-1]) + 1]
    return {right}, choices - {right}


def arithmetic(clean: str, choices: set[str]) -> Answers:
    """The sum or difference in the last line, whose two examples are right too."""
    *examples, last = clean.split("\n")
    for line in examples:
        left, value = line.split("=")
        assert compute(left) == int(value)
    right = str(compute(last.rstrip("=")))
    return {right}, choices - {right}


def compute(text: str) -> int:
    """The value of a sum or difference of two numbers."""
    a, sign, b = re.fullmatch(r"(\d+)([+-])(\d+)", text).groups()  # type: ignore[union-attr]
    return int(a) + int(b) if sign == "+" else int(a) - int(b)


def greater_than(clean: str, choices: set[str]) -> Answers:
    """All endings that give a number above the last whole one before."""
    last = re.findall(r"\d{4}", clean)[-1]
    century = clean[-2:]
    assert last.startswith(century)
    right = {ending for ending in choices if int(century + ending) > int(last)}
    return right, choices - right


def docstring(clean: str, choices: set[str]) -> Answers:
    """The argument after those that the docstring has."""
    arguments = re.search(r"\(self, (.*)\)", clean)[1].split(", ")  # type: ignore[index]
    done = re.findall(r":param (\w+):", clean)
    assert arguments[: len(done)] == done
    right = arguments[len(done)]
    return {right}, set(arguments) - {right}


def colors(clean: str, choices: set[str]) -> Answers:
    """The letter that stands with the colour that the question states."""
    color = re.search(r"is (\w+)\. What", clean)[1]  # type: ignore[index]
    lines = clean.split("\n")[1:-1]
    (right,) = (
        letter
        for line in lines
        if color in line.split()
        for letter in choices
        if re.search(rf"\b{letter}\b", line)
    )
    return {right}, choices - {right}


def agreement(clean: str, choices: set[str]) -> Answers:
    """Verbs in the number of the subject, the first noun after "the"."""
    noun = re.search(r"\b[Tt]he (\w+)", clean)[1]  # type: ignore[index]
    plural = noun.endswith("s") and noun not in ("bus",)
    assert choices == SINGULAR_VERBS | PLURAL_VERBS
    return (PLURAL_VERBS, SINGULAR_VERBS) if plural else (SINGULAR_VERBS, PLURAL_VERBS)


def capital(clean: str, choices: set[str]) -> Answers:
    """The capital of the country that is named."""
    found = re.search(r"(?:capital(?: city)? of|government of) (.+?)(?: is|\?|, you| sits)", clean)
    right = CAPITAL_OF[found[1]]  # type: ignore[index]
    return {right}, choices - {right}


def fact(clean: str, choices: set[str]) -> Answers:
    """What the relation's list has for the subject."""
    for pattern, facts in RELATIONS:
        found = re.search(pattern, clean)
        if found:
            pairs = (entry.strip().rsplit(" ", 1) for entry in facts.replace("\n", " ").split(","))
            right = dict(pairs)[found[1]]
            return {right}, choices - {right}
    raise AssertionError(f"no relation asks {clean!r}")


def kind(clean: str, choices: set[str]) -> Answers:
    """The kinds of the only word of the list in the prompt."""
    (word,) = (word for word in clean.split() if word in KINDS_OF)
    return choices & KINDS_OF[word], choices - KINDS_OF[word]


def profession(clean: str, choices: set[str]) -> Answers:
    """The pronoun that prejudice has for the profession."""
    job = clean.split()[1]
    right = "she" if job in WOMENS_JOBS else "he"
    return {right}, choices - {right}


def pronoun(clean: str, choices: set[str]) -> Answers:
    """The pronoun of the only name in the prompt."""
    name = next(w for w in re.findall(r"\b[A-Z][a-z]+\b", clean) if w not in NOT_NAMES)
    right = "she" if name in WOMEN else "he"
    return {right}, choices - {right}


NOT_NAMES = {"So", "I", "After", "Well"}


def person(clean: str, choices: set[str]) -> Answers:
    """The occupation, or the other person, by which ending the question repeats."""
    start, question = clean.split(". The person who ")
    ending = question.removesuffix(" was the")
    assert start.endswith(ending)
    people = names_in(start, choices)
    right = people[0] if ending in SPEAKS_OF_THE_OCCUPATION else people[1]
    return {right}, choices - {right}


CHECKS = {
    "arithmetic_addition_circuit": arithmetic,
    "arithmetic_subtraction_circuit": arithmetic,
    "copy_colors_mcqa_circuit": colors,
    "country_capital_circuit": capital,
    "docstring_circuit": docstring,
    "double_ioi_circuit": ioi,
    "fact_completion_circuit": fact,
    "gender_bias_circuit": profession,
    "gendered_pronoun_circuit": pronoun,
    "greater_than_circuit": greater_than,
    "hypernymy_circuit": kind,
    "induction_circuit": induction,
    "ioi_circuit": ioi,
    "sva_circuit": agreement,
    "winogender_circuit": person,
}

# Tasks whose corrupted prompt has an answer of its own: the wrong ones of the clean prompt.
FLIPPED = {
    "arithmetic_addition_circuit",
    "arithmetic_subtraction_circuit",
    "country_capital_circuit",
    "fact_completion_circuit",
    "gendered_pronoun_circuit",
    "induction_circuit",
    "sva_circuit",
    "winogender_circuit",
}
