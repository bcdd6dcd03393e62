# ruff: noqa: E501 - sentences stay on one line
"""What the generated stories are about: quantities, sentences and steps, as data.

In every text `{n}` stands for a quantity, `{Name}`, `{Other}`, `{thing}`, `{things}`, ... for words drawn once a
story. In a step `{=}` is its calculation with the result and `{$}` the same in dollars.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[int, int]


@dataclass(frozen=True)
class StepPlan:
    """One step: the quantity that it computes, from which expression, told in one of several ways."""

    name: str
    expression: str
    tellings: tuple[str, ...]


@dataclass(frozen=True)
class Plot:
    """One kind of story.

    Attributes:
        kind: its name.
        quantities: drawn from a range (inclusive), or computed from others by an expression; those that no
            text names only serve to keep results whole.
        openings: the problem without its question, in several wordings.
        questions: what is asked if the story ends with its own last step.
        steps: the solution.
        ends_in: "money" or "things": which `Tail`s may follow.
        prices: names of quantities shown with a dollar sign in calculations.
    """

    kind: str
    quantities: dict[str, Range | str]
    openings: tuple[str, ...]
    questions: tuple[str, ...]
    steps: tuple[StepPlan, ...]
    ends_in: str
    prices: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Tail:
    """A continuation: one more sentence, question and step, on the quantity `last`."""

    ends_in: str
    quantities: dict[str, Range | str]
    sentences: tuple[str, ...]
    questions: tuple[str, ...]
    step: StepPlan


_NAMES = (
    "Ava Ben Carla Dan Elena Farid Grace Hugo Ines Jamal Kira Leo Mona Nils Omar Priya Quinn Rosa Sam Tara Umar "
    "Vera Wes Xenia Yusuf Zoe Anton Bella Cyrus Dora Emil Fiona Gus Hana Ivan Jill Karl Lena Marco Nadia Otto "
    "Paula Ravi Sofia Theo Uma Viktor Wendy Yara Zack Mei Kofi Noor Pedro Alice Brian Chloe David Emma Frank "
    "Julia Kevin Laura Mike Nancy Oscar Peter Rachel Steve Tina"
)
_THINGS = (
    "pencil marble sticker book cookie ticket card shell button candle cupcake balloon stamp coin bead notebook "
    "muffin puzzle badge ribbon flower toy pen brick bottle photo magnet bracelet donut crayon pear banana shirt "
    "sock hat cup plate chair lamp postcard"
)
NAMES = tuple(_NAMES.split())
THINGS = tuple(_THINGS.split())
PLACES = ("market", "school fair", "shop", "garden sale", "library", "town festival", "park", "museum", "bakery")
BOXES = ("box/boxes", "bag/bags", "basket/baskets", "crate/crates", "jar/jars", "pack/packs", "tray/trays")
VEHICLES = ("car", "bus", "train", "van", "truck", "bike", "boat")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

PLOTS = (
    Plot(
        "shopping",
        {"n": (2, 15), "p": (2, 30), "m": (2, 12), "q": (3, 40), "cash": (60, 900)},
        (
            "{Name} goes to the {place} with ${cash}. {Name} buys {n} {things} at ${p} each and {m} {others} at ${q} each.",
            "At the {place} a {thing} costs ${p} and a {other} costs ${q}. {Name}, who has ${cash}, takes {n} {things} and {m} {others}.",
            "{Name} has ${cash} to spend. {Name} picks up {n} {things} for ${p} apiece and then {m} {others} for ${q} apiece.",
        ),
        ("How much money does {Name} have left?", "How many dollars remain?", "What is {Name}'s change?"),
        (
            StepPlan(
                "a",
                "n*p",
                ("The {things} cost {$}", "{Name} pays {$} for the {things}", "First, {n} {things} cost {$}"),
            ),
            StepPlan(
                "b", "m*q", ("The {others} cost {$}", "{Name} pays {$} for the {others}", "Then {m} {others} cost {$}")
            ),
            StepPlan("sum", "a+b", ("In total {Name} spends {$}", "That is {$} together", "All of it costs {$}")),
            StepPlan("rest", "cash-sum", ("{Name} has {$} left", "So the money left is {$}", "What remains is {$}")),
        ),
        "money",
        frozenset({"p", "q", "cash", "a", "b", "sum"}),
    ),
    Plot(
        "pooling",
        {"x": (15, 400), "y": (15, 400), "n": (3, 12), "p": (2, 35)},
        (
            "{Name} has ${x} and {Other} has ${y}. Together they buy {n} {things} for ${p} each.",
            "{Name} and {Other} put their money together: ${x} from {Name} and ${y} from {Other}. They pay for {n} {things} at ${p} a {thing}.",
        ),
        ("How much money do they have left?", "How many dollars do they keep?"),
        (
            StepPlan("pool", "x+y", ("They have {$}", "Together {Name} and {Other} have {$}", "They start with {$}")),
            StepPlan("cost", "n*p", ("The {things} cost {$}", "They pay {$} for the {things}")),
            StepPlan("rest", "pool-cost", ("They have {$} left", "So {$} is left", "They keep {$}")),
        ),
        "money",
        frozenset({"x", "y", "p", "pool", "cost"}),
    ),
    Plot(
        "sharing",
        {"k": (2, 12), "each": (3, 25), "b": (3, 12), "total": "k*each", "per": "total/b"},
        (
            "{Name} has {b} {boxes} with {per} {things} in each. {Name} shares all the {things} equally among {k} friends.",
            "There are {per} {things} in every {box}, and {Name} owns {b} {boxes}. All {things} are divided equally between {k} children.",
        ),
        ("How many {things} does each of them get?", "What is the share of one of them?"),
        (
            StepPlan(
                "all",
                "b*per",
                ("There are {=} {things}", "{Name} has {=} {things} in all", "The {boxes} hold {=} {things}"),
            ),
            StepPlan(
                "share",
                "all/k",
                ("Each gets {=} {things}", "One share is {=} {things}", "So every one of them receives {=} {things}"),
            ),
        ),
        "things",
    ),
    Plot(
        "trip",
        {"v": (20, 90), "h": (2, 9), "w": (20, 90), "g": (2, 9)},
        (
            "{Name} drives a {vehicle} at {v} miles an hour for {h} hours and then at {w} miles an hour for {g} hours.",
            "On {day} a {vehicle} travels {h} hours at a speed of {v} miles per hour. After a break it goes on for {g} hours at {w} miles per hour.",
        ),
        ("How many miles is the whole trip?", "How far does the {vehicle} go in total?"),
        (
            StepPlan("a", "v*h", ("The first part is {=} miles", "At first the {vehicle} covers {=} miles")),
            StepPlan("b", "w*g", ("The second part is {=} miles", "Later the {vehicle} covers {=} miles")),
            StepPlan(
                "all",
                "a+b",
                ("The whole trip is {=} miles", "In total that is {=} miles", "So the distance is {=} miles"),
            ),
        ),
        "distance",
    ),
    Plot(
        "recipe",
        {"k": (2, 9), "base": (2, 12), "people": "k*base", "f": (2, 15), "s": (2, 15)},
        (
            "A recipe for {base} people takes {f} spoons of flour and {s} spoons of sugar. {Name} cooks for {people} people.",
            "{Name} bakes for {people} guests. The recipe serves {base} and needs {f} spoons of flour and {s} spoons of sugar.",
        ),
        ("How many spoons does {Name} need in total?", "How many spoons of flour and sugar together go in?"),
        (
            StepPlan("times", "people/base", ("The recipe is made {=} times", "{Name} needs {=} times the recipe")),
            StepPlan("flour", "times*f", ("That takes {=} spoons of flour", "The flour comes to {=} spoons")),
            StepPlan("sugar", "times*s", ("It takes {=} spoons of sugar", "The sugar comes to {=} spoons")),
            StepPlan("all", "flour+sugar", ("Together that is {=} spoons", "In total {Name} needs {=} spoons")),
        ),
        "spoons",
    ),
    Plot(
        "savings",
        {"w": (3, 60), "n": (4, 30), "start": (5, 300)},
        (
            "{Name} has ${start} in the bank and saves ${w} every week for {n} weeks.",
            "Every week for {n} weeks {Name} puts ${w} into a jar that already holds ${start}.",
        ),
        ("How much money does {Name} have then?", "How many dollars are there at the end?"),
        (
            StepPlan(
                "saved", "w*n", ("{Name} saves {$}", "The weeks bring {$}", "Over that time {Name} puts away {$}")
            ),
            StepPlan(
                "all",
                "saved+start",
                ("Then {Name} has {$}", "With the money from before that is {$}", "So the total is {$}"),
            ),
        ),
        "money",
        frozenset({"w", "start", "saved"}),
    ),
    Plot(
        "wages",
        {"r": (8, 45), "h": (3, 9), "d": (2, 6), "bonus": (10, 150)},
        (
            "{Name} earns ${r} an hour and works {h} hours a day for {d} days. On the last day {Name} also gets a bonus of ${bonus}.",
            "A job pays ${r} per hour. {Name} works on {d} days, {h} hours each day, and receives an extra ${bonus} at the end.",
        ),
        ("How much does {Name} earn in total?", "How many dollars does {Name} get?"),
        (
            StepPlan("hours", "h*d", ("{Name} works {=} hours", "That is {=} hours of work")),
            StepPlan("pay", "hours*r", ("The hours pay {$}", "For that {Name} earns {$}")),
            StepPlan("all", "pay+bonus", ("With the bonus it is {$}", "In total {Name} gets {$}")),
        ),
        "money",
        frozenset({"r", "bonus", "pay"}),
    ),
    Plot(
        "discount",
        {"k": (2, 30), "c": (1, 9), "pct": "c*10", "p": "k*10", "n": (2, 9)},
        (
            "A {thing} costs ${p}. On {day} there is {pct}% off, and {Name} buys {n} {things}.",
            "{Name} wants {n} {things}. The usual price is ${p} each, but the {place} gives a {pct}% discount.",
        ),
        ("How much does {Name} pay?", "What does {Name} pay in total?"),
        (
            StepPlan("off", "p*pct/100", ("The discount on one {thing} is {$}", "One {thing} is cheaper by {$}")),
            StepPlan("new", "p-off", ("So a {thing} costs {$}", "The new price is {$}")),
            StepPlan("all", "n*new", ("{Name} pays {$}", "The {things} cost {$} in total")),
        ),
        "money",
        frozenset({"p", "off", "new"}),
    ),
    Plot(
        "tax",
        {"k": (2, 40), "c": (1, 8), "pct": "c*5", "p": "k*20", "ship": (3, 25)},
        (
            "{Name} orders a {thing} machine for ${p}. There is a tax of {pct}% on it, and shipping costs ${ship}.",
            "The price of a {vehicle} rental is ${p} plus {pct}% tax. {Name} also pays a fee of ${ship}.",
        ),
        ("How much does {Name} pay in total?", "What is the final bill?"),
        (
            StepPlan("tax", "p*pct/100", ("The tax is {$}", "{pct}% of the price is {$}")),
            StepPlan("with", "p+tax", ("The price with tax is {$}", "That makes {$} with the tax")),
            StepPlan("all", "with+ship", ("{Name} pays {$}", "So the bill is {$}")),
        ),
        "money",
        frozenset({"p", "ship", "tax", "with"}),
    ),
    Plot(
        "half",
        {"k": (5, 90), "x": "k*2", "more": (3, 40)},
        (
            "{Name} has {x} {things}. {Other} has half as many {things} as {Name}, and {Third} has {more} more {things} than {Other}.",
            "{Name} collected {x} {things}. {Other} collected half of that number, while {Third} found {more} {things} more than {Other}.",
        ),
        ("How many {things} do the three have together?", "How many {things} are there in all?"),
        (
            StepPlan("o", "x/2", ("{Other} has {=} {things}", "Half of {Name}'s {things} is {=}")),
            StepPlan("t", "o+more", ("{Third} has {=} {things}", "{Third} found {=} {things}")),
            StepPlan("all", "x+o+t", ("Together they have {=} {things}", "In all there are {=} {things}")),
        ),
        "things",
    ),
    Plot(
        "comparison",
        {"x": (6, 120), "f": (3, 9), "less": (2, 30)},
        (
            "{Name} sold {x} {things}. {Other} sold {f} times as many {things}, and {Third} sold {less} fewer than {Other}.",
            "On {day} {Name} made {x} {things}, {Other} made {f} times that number, and {Third} made {less} less than {Other}.",
        ),
        ("How many {things} did they sell altogether?", "What is the number of {things} of all three?"),
        (
            StepPlan("o", "f*x", ("{Other} has {=} {things}", "{Other} comes to {=} {things}")),
            StepPlan("t", "o-less", ("{Third} has {=} {things}", "{Third} comes to {=} {things}")),
            StepPlan("all", "x+o+t", ("Altogether that is {=} {things}", "So they have {=} {things}")),
        ),
        "things",
    ),
    Plot(
        "fraction",
        {"d": (3, 9), "k": (4, 40), "x": "d*k", "gone": (2, 20)},
        (
            "{Name} picks {x} {things} and gives 1/{d} of them to {Other}. Later {gone} more {things} are lost.",
            "There were {x} {things} in the {place}. 1/{d} of them went to {Other}, and {gone} others broke.",
        ),
        ("How many {things} are left?", "How many {things} remain?"),
        (
            StepPlan("part", "x/d", ("{Other} gets {=} {things}", "1/{d} of the {things} is {=}")),
            StepPlan("kept", "x-part", ("After that there are {=} {things}", "That leaves {=} {things}")),
            StepPlan("left", "kept-gone", ("In the end {=} {things} are left", "So {=} {things} remain")),
        ),
        "things",
    ),
    Plot(
        "packing",
        {"n": (3, 20), "per": (4, 25), "extra": (3, 60), "m": (2, 9)},
        (
            "{Name} packs {n} {boxes} with {per} {things} each and has {extra} {things} over. {Other} packs {m} times as many {things} as {Name} has.",
            "{n} {boxes} hold {per} {things} apiece, and {extra} loose {things} belong to {Name} too. {Other} owns {m} times {Name}'s number of {things}.",
        ),
        ("How many {things} does {Other} have?", "What number of {things} is {Other}'s?"),
        (
            StepPlan("in", "n*per", ("The {boxes} hold {=} {things}", "There are {=} {things} in the {boxes}")),
            StepPlan("own", "in+extra", ("{Name} has {=} {things}", "With the others that is {=} {things}")),
            StepPlan("all", "own*m", ("{Other} has {=} {things}", "So {Other}'s number is {=} {things}")),
        ),
        "things",
    ),
    Plot(
        "coins",
        {"a": (3, 40), "b": (3, 40), "c": (3, 40)},
        (
            "{Name} finds {a} quarters worth $0.25 each, {b} dimes worth $0.10 each and {c} nickels worth $0.05 each.",
            "In a jar there are {a} quarters ($0.25), {b} dimes ($0.10) and {c} nickels ($0.05).",
        ),
        ("How much money is that in total?", "How many dollars is it all worth?"),
        (
            StepPlan("x", "a*0.25", ("The quarters are worth {$}", "From quarters: {$}")),
            StepPlan("y", "b*0.10", ("The dimes are worth {$}", "From dimes: {$}")),
            StepPlan("z", "c*0.05", ("The nickels are worth {$}", "From nickels: {$}")),
            StepPlan("all", "x+y+z", ("In total it is {$}", "All together that is {$}")),
        ),
        "change",
        frozenset({"x", "y", "z"}),
    ),
    Plot(
        "rate",
        {"r": (3, 25), "h": (2, 9), "k": (2, 9), "need": (40, 600)},
        (
            "A machine makes {r} {things} an hour. There are {k} such machines, and they run for {h} hours. The {place} ordered {need} {things}.",
            "{k} workers make {r} {things} per hour each. After {h} hours {Name} counts how many of the {need} {things} ordered are missing.",
        ),
        ("How many {things} are still missing?", "How many more {things} are needed?"),
        (
            StepPlan("one", "r*h", ("One makes {=} {things}", "In that time each makes {=} {things}")),
            StepPlan("all", "one*k", ("All of them make {=} {things}", "Together they make {=} {things}")),
            StepPlan("miss", "need-all", ("So {=} {things} are missing", "The order lacks {=} {things}")),
        ),
        "things",
    ),
    Plot(
        "profit",
        {"n": (10, 90), "c": (2, 20), "up": (1, 15), "p": "c+up", "fee": (5, 90)},
        (
            "{Name} buys {n} {things} for ${c} each and sells all of them for ${p} each. The stand at the {place} costs ${fee}.",
            "{Name} sells {n} {things} at ${p} apiece. Making one costs ${c}, and renting a table costs ${fee}.",
        ),
        ("What is {Name}'s profit?", "How much money does {Name} make?"),
        (
            StepPlan("sales", "n*p", ("{Name} takes in {$}", "The {things} sell for {$}")),
            StepPlan("spent", "n*c", ("The {things} cost {$}", "{Name} spends {$} on them")),
            StepPlan("gain", "sales-spent", ("The difference is {$}", "That leaves {$}")),
            StepPlan("all", "gain-fee", ("After the fee {Name} keeps {$}", "The profit is {$}")),
        ),
        "money",
        frozenset({"c", "p", "fee", "sales", "spent", "gain"}),
    ),
    Plot(
        "reading",
        {"a": (8, 45), "d": (3, 9), "b": (8, 45), "e": (3, 9), "pages": (150, 900)},
        (
            "{Name} reads {a} pages a day for {d} days and then {b} pages a day for {e} days. The book has {pages} pages.",
            "A book has {pages} pages. For {d} days {Name} reads {a} pages daily, and for the next {e} days {b} pages daily.",
        ),
        ("How many pages are left to read?", "How many pages has {Name} still to read?"),
        (
            StepPlan("x", "a*d", ("First {Name} reads {=} pages", "The first days bring {=} pages")),
            StepPlan("y", "b*e", ("Then {Name} reads {=} pages", "The other days bring {=} pages")),
            StepPlan("read", "x+y", ("{Name} has read {=} pages", "That makes {=} pages")),
            StepPlan("left", "pages-read", ("So {=} pages are left", "There remain {=} pages")),
        ),
        "pages",
    ),
    Plot(
        "ages",
        {"x": (4, 30), "f": (2, 5), "y": (3, 20)},
        (
            "{Name} is {x} years old. {Other} is {f} times as old as {Name}. Think of {y} years from now.",
            "{Other}'s age is {f} times that of {Name}, who is {x}. They meet again after {y} years.",
        ),
        ("How old will {Other} be then?", "What will {Other}'s age be?"),
        (
            StepPlan("now", "f*x", ("{Other} is {=} years old now", "Today {Other} is {=}")),
            StepPlan("then", "now+y", ("In {y} years {Other} will be {=}", "Later {Other} will be {=} years old")),
        ),
        "years",
    ),
)

TAILS = (
    Tail(
        "money",
        {"t": (2, 90)},
        ("Then {Name} spends ${t} on lunch.", "After that ${t} goes to {Third}."),
        ("How much money is left in the end?",),
        StepPlan("z", "last-t", ("In the end {$} is left", "After that there is {$}")),
    ),
    Tail(
        "money",
        {"t": (2, 90)},
        ("Then {Third} adds ${t}.", "Later ${t} more comes in."),
        ("How much money is there in the end?",),
        StepPlan("z", "last+t", ("In the end there is {$}", "That makes {$}")),
    ),
    Tail(
        "money",
        {"g": (2, 6)},
        ("The amount is then divided equally among {g} people.",),
        ("How many dollars does one of them get?",),
        StepPlan("z", "last/g", ("Each gets {$}", "One share is {$}")),
    ),
    Tail(
        "money",
        {"g": (2, 12)},
        ("The same happens in each of {g} months.",),
        ("How many dollars is that over all these months?",),
        StepPlan("z", "last*g", ("Over {g} months it is {$}", "In all that is {$}")),
    ),
    Tail(
        "things",
        {"t": (2, 60)},
        ("Then {t} of those {things} are sold.", "Later {t} of these {things} get lost."),
        ("How many {things} are there in the end?",),
        StepPlan("z", "last-t", ("In the end there are {=} {things}", "That leaves {=} {things}")),
    ),
    Tail(
        "things",
        {"t": (2, 90)},
        ("On {day} {t} more {things} arrive.",),
        ("How many {things} are there then?",),
        StepPlan("z", "last+t", ("Then there are {=} {things}", "That makes {=} {things}")),
    ),
    Tail(
        "things",
        {"p": (2, 15)},
        ("These {things} are sold for ${p} each.", "Each of these {things} is worth ${p}."),
        ("How much money is that?",),
        StepPlan("z", "last*p", ("They are worth {$}", "That is {$}")),
    ),
    Tail(
        "things",
        {"g": (2, 9)},
        ("These {things} are put equally into {g} {boxes}.",),
        ("How many {things} are in each {box}?",),
        StepPlan("z", "last/g", ("Each {box} holds {=} {things}", "That is {=} {things} in one {box}")),
    ),
    Tail(
        "distance",
        {"t": (10, 60)},
        ("Fuel is used at one gallon for every {t} miles.",),
        ("How many gallons are used?",),
        StepPlan("z", "last/t", ("It takes {=} gallons", "So {=} gallons are used")),
    ),
    Tail(
        "distance",
        {"t": (20, 300)},
        ("The way back is {t} miles shorter.",),
        ("How many miles is the way back?",),
        StepPlan("z", "last-t", ("The way back is {=} miles", "So going back takes {=} miles")),
    ),
    Tail(
        "pages",
        {"t": (10, 40)},
        ("{Name} wants to read the rest at {t} pages a day.",),
        ("How many days will that take?",),
        StepPlan("z", "last/t", ("It takes {=} days", "So {Name} needs {=} days")),
    ),
    Tail(
        "years",
        {"t": (2, 20)},
        ("{Third} will then be {t} years younger than {Other}.",),
        ("How old will {Third} be then?",),
        StepPlan("z", "last-t", ("{Third} will be {=}", "Then {Third} is {=} years old")),
    ),
)
"""Each step follows the story's last result, called `last`."""
