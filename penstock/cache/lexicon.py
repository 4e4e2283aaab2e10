"""The words that the gate knows: English, but for the small words by which languages are told apart."""


def _set(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


#: `one` is left out: as often a pronoun as a number
NUMBER_WORDS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
#: each line is one unit
UNITS = {
    spelling: line.split()[0]
    for line in (
        "€ eur euro euros", "$ usd dollar dollars", "£ gbp pound pounds", "¥ jpy yen", "% percent", "inr rupee rupees",
        "second seconds sec", "min minute minutes", "hour hours", "day days", "week weeks", "month months",
        "year years", "mm millimetre millimeter", "cm centimetre centimeter", "metre meter metres meters",
        "km kilometre kilometer kilometres kilometers", "mile miles", "ft foot feet", "inch inches", "gram grams",
        "kg kilogram kilograms kilo kilos", "lb lbs", "ml millilitre", "litre liter litres liters", "mg milligram",
        "celsius", "fahrenheit", "kb", "mb", "gb", "tb",
    )
    for spelling in line.split()
}  # fmt: skip
NEGATIONS = _set(
    "not no never without cannot none nobody nothing neither nor unable impossible except dont didnt doesnt isnt wont",
    "cant hasnt havent wasnt werent couldnt wouldnt shouldnt arent fail fails failed failing failure decline declined",
    "declines refuse refused reject rejected denied broken incorrect wrong missing unsuccessful invalid stuck blocked",
)
OPPOSITES = (
    "increase decrease", "increase reduce", "raise lower", "before after", "with without", "maximum minimum", "max min",
    "buy sell", "open close", "enable disable", "first last", "more less", "more fewer", "on off", "left right",
    "start stop", "start end", "begin end", "add remove", "add delete", "create delete", "import export",
    "input output", "send receive", "incoming outgoing", "deposit withdraw", "deposit withdrawal", "cheap expensive",
    "highest lowest", "high low", "higher lower", "oldest newest", "older newer", "old new", "physical virtual",
    "debit credit", "above below", "over under", "upload download", "hot cold", "safe dangerous",
    "advantages disadvantages", "pros cons", "male female", "men women", "man woman", "husband wife", "mother father",
    "best worst", "better worse", "heaviest lightest", "ascending descending", "win lose", "gain lose", "gain loss",
    "profit loss", "accept reject", "accept refuse", "allow forbid", "allow block", "login logout", "in out",
    "inside outside", "up down", "early late", "earliest latest", "fast slow", "faster slower", "fastest slowest",
    "long short", "longer shorter", "longest shortest", "big small", "bigger smaller", "large small",
    "largest smallest", "public private", "online offline", "positive negative", "even odd", "true false",
    "north south", "east west", "arrive depart", "arrival departure", "borrow lend", "merge split", "show hide",
    "internal external", "adult child", "adults children", "full empty", "strong weak", "morning evening", "day night",
    "summer winter", "breakfast dinner", "lunch dinner", "tall short", "taller shorter", "tallest shortest",
    "boiling freezing", "boil freeze", "deep shallow", "young old", "younger older", "same different",
)  # fmt: skip
#: where these are, the order of what stands around them counts: from A to B is not from B to A
DIRECTIONS = _set("to into from than before after versus vs")
#: words that say little of what is asked
SMALL = _set(
    "a an the is are was were be been am i my me we our you your it its do does did can could will would shall should",
    "may might must have has had of in on at for by with and or so that this there how what when where why who which",
    "please if then get",
)
#: what makes of a word its opposite: lock and unlock, legal and illegal, activate and deactivate, include and exclude
REVERSING = (
    ("", "un"), ("", "dis"), ("", "de"), ("", "in"), ("", "im"), ("", "il"), ("", "ir"), ("", "non"), ("in", "ex"),
    ("con", "dis"),
)  # fmt: skip
#: each line has things of one kind: to name one is not to name another. Those of several spellings stand as `a=b`.
KINDS = tuple(
    {spelling: spellings.split("=")[0] for spellings in line.split() for spelling in spellings.split("=")}
    for line in (
        "monday=mondays tuesday=tuesdays wednesday=wednesdays thursday=thursdays friday=fridays saturday=saturdays "
        "sunday=sundays today yesterday tomorrow tonight",
        "january february april june july august september october november december",
        "red white black blue green yellow orange purple pink brown grey=gray silver gold",
        "breast lung skin liver kidney heart brain stomach throat knee shoulder ankle elbow wrist hip spine eye=eyes "
        "ear=ears nose tooth=teeth",
        "dog=dogs=puppy=puppies cat=cats=kitten=kittens horse=horses cow=cows pig=pigs rabbit=rabbits bird=birds",
        "ibuprofen=advil paracetamol=acetaminophen=tylenol aspirin naproxen=aleve",
        "windows linux=ubuntu mac=macos=macbook android ios=iphone=ipad",
        "python java javascript=js typescript ruby rust golang php perl kotlin",
        "visa mastercard amex=maestro paypal",
        "germany=german=germans france=french italy=italian spain=spanish portugal=portuguese england=english "
        "britain=uk=british ireland=irish scotland=scottish netherlands=dutch belgium=belgian switzerland=swiss "
        "austria=austrian poland=polish sweden=swedish norway=norwegian denmark=danish finland=finnish greece=greek "
        "russia=russian "
        "ukraine=ukrainian turkey=turkish egypt=egyptian israel=israeli iran=iranian iraq=iraqi india=indian "
        "pakistan=pakistani china=chinese japan=japanese korea=korean vietnam=vietnamese thailand=thai indonesia "
        "philippines australia=australian canada=canadian mexico=mexican brazil=brazilian argentina=argentinian chile "
        "usa=american=america africa=african europe=european asia=asian",
        "london paris berlin madrid rome vienna amsterdam brussels dublin lisbon athens moscow istanbul cairo dubai "
        "mumbai delhi bangalore beijing shanghai tokyo seoul singapore sydney melbourne toronto vancouver montreal "
        "chicago boston seattle houston dallas miami denver atlanta philadelphia",
    )
)
LANGUAGES = {
    "en": _set("the is my i what how to do can you and of it a for why"),
    "de": _set("der die das ist ich mein wie und nicht ein eine kann was für zu"),
    "fr": _set("le la les est je mon comment et une un que pour pourquoi des du"),
    "es": _set("el los es mi cómo y una un que para por qué las puedo del"),
    "it": _set("il gli è mio come e una un che per perché posso della di lo"),
    "pt": _set("o os é meu como e uma um que para por posso não da do"),
    "nl": _set("de het is mijn hoe en een niet kan wat voor ik te van"),
}
