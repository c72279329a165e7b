"""Word lists that several circuit tasks draw from.

All are meant to be one token each, with a leading space, in the vocabularies of common models; what
is not is left out when a task is built for a tokenizer.
"""

NAMES = (
    "Aaron Adam Alan Alex Alice Amy Anderson Andre Andrew Andy Anna Anthony Arthur Austin Blake "
    "Brandon Brian Carter Charles Charlie Christian Christopher Clark Cole Collins Connor Crew "
    "Daniel David Dean Edward Elizabeth Emily Eric Eva Ford Frank George Georgia Graham Grant "
    "Henry Ian Jack Jacob Jake James Jamie Jane Jason Jay Jennifer Jeremy Jessica John Jonathan "
    "Jordan Joseph Joshua Justin Kate Kelly Kevin Kyle Laura Leon Lewis Lisa Louis Luke Madison "
    "Marco Marcus Maria Mark Martin Mary Matthew Max Michael Michelle Morgan Patrick Paul Peter "
    "Prince Rachel Richard River Robert Roman Rose Ruby Russell Ryan Sarah Scott Sean Simon "
    "Stephen Steven Sullivan Taylor Thomas Tyler Victoria Warren William"
).split()

FEMALE_NAMES = (
    "Alice Amy Anna Elizabeth Emily Emma Eva Grace Hannah Helen Jane Jennifer Jessica Julia Karen "
    "Kate Laura Linda Lisa Maria Mary Michelle Nancy Olivia Rachel Ruth Sarah Sophia Susan "
    "Victoria Margaret Barbara Catherine Christine Diana Rebecca Sandra Amanda Melissa Lucy"
).split()

MALE_NAMES = (
    "Aaron Adam Andrew Anthony Arthur Brian Charles Daniel David Edward Eric Frank George Henry "
    "Jack Jacob James Jason John Joseph Joshua Kevin Mark Martin Matthew Michael Patrick Paul "
    "Peter Richard Robert Ryan Scott Simon Stephen Steven Thomas Tom William Philip"
).split()
