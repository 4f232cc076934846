"""The verbs of the caption grammar, with their principal parts in German and English."""

from __future__ import annotations

from typing import Final

from pipeline.corpus.captions.types import Verb


def _verbs(rows: str) -> dict[str, Verb]:
    """Read rows 'key: infinitive third participle | english gerund participle [particle]'.

    The infinitive is written `auf+heben` when the prefix is separable. Marks before it: `sich` for a
    reflexive verb, `ist` for one that forms its perfect with sein.
    """
    verbs = {}
    for row in rows.strip().splitlines():
        key, _, rest = row.partition(": ")
        german, _, english = rest.partition(" | ")
        words = german.split()
        reflexive, being = "sich" in words, "ist" in words
        infinitive, third, participle = [word for word in words if word not in ("sich", "ist")]
        prefix, plus, stem = infinitive.partition("+")
        base, gerund, english_participle, *particle = english.split()
        verbs[key] = Verb(
            infinitive=stem if plus else infinitive,
            third=third,
            participle=participle.replace("_", " "),
            english=base,
            gerund=gerund,
            english_participle=english_participle,
            prefix=prefix if plus else "",
            particle=" ".join(particle),
            auxiliary_be=being,
            reflexive=reflexive,
        )
    return verbs


VERBS: Final[dict[str, Verb]] = _verbs("""
sit: sitzen sitzt gesessen | sit sitting sat
stand: stehen steht gestanden | stand standing stood
park: stehen steht gestanden | park parked parked
lie: liegen liegt gelegen | lie lying lain
hang: hängen hängt gehangen | hang hanging hung
sleep: schlafen schläft geschlafen | sleep sleeping slept
fall-asleep: ist ein+schlafen schläft eingeschlafen | fall falling fallen asleep
rest: sich aus+ruhen ruht ausgeruht | rest resting rested
chat: sich unterhalten unterhält unterhalten | talk talking talked
bend: sich bücken bückt gebückt | bend bending bent down
sit-down: sich setzen setzt gesetzt | sit sitting sat down
stop: ist stehen+bleiben bleibt stehen_geblieben | stop stopping stopped
stand-up: ist auf+stehen steht aufgestanden | stand standing stood up
wait: warten wartet gewartet | wait waiting waited
walk: ist gehen geht gegangen | walk walking walked
run: ist laufen läuft gelaufen | run running run
race: ist rennen rennt gerannt | race racing raced
ride: ist fahren fährt gefahren | ride riding ridden
drive: ist fahren fährt gefahren | drive driving driven
travel: ist fahren fährt gefahren | go going gone
ride-horse: ist reiten reitet geritten | ride riding ridden
jump: ist springen springt gesprungen | jump jumping jumped
climb: ist klettern klettert geklettert | climb climbing climbed
swim: ist schwimmen schwimmt geschwommen | swim swimming swum
fly: ist fliegen fliegt geflogen | fly flying flown
drift: ist treiben treibt getrieben | drift drifting drifted
crawl: ist krabbeln krabbelt gekrabbelt | crawl crawling crawled
dance: tanzen tanzt getanzt | dance dancing danced
sing: singen singt gesungen | sing singing sung
laugh: lachen lacht gelacht | laugh laughing laughed
smile: lächeln lächelt gelächelt | smile smiling smiled
cry: weinen weint geweint | cry crying cried
work: arbeiten arbeitet gearbeitet | work working worked
bark: bellen bellt gebellt | bark barking barked
graze: grasen grast gegrast | graze grazing grazed
dig: graben gräbt gegraben | dig digging dug
wear: tragen trägt getragen | wear wearing worn
carry: tragen trägt getragen | carry carrying carried
hold: halten hält gehalten | hold holding held
read: lesen liest gelesen | read reading read
read-out: vor+lesen liest vorgelesen | read reading read
write: schreiben schreibt geschrieben | write writing written
eat: essen isst gegessen | eat eating eaten
feed-on: fressen frisst gefressen | eat eating eaten
drink: trinken trinkt getrunken | drink drinking drunk
bake: backen backt gebacken | bake baking baked
cook: kochen kocht gekocht | cook cooking cooked
grill: grillen grillt gegrillt | grill grilling grilled
cut: schneiden schneidet geschnitten | cut cutting cut
wash: waschen wäscht gewaschen | wash washing washed
clean: putzen putzt geputzt | clean cleaning cleaned
dry: ab+trocknen trocknet abgetrocknet | dry drying dried
repair: reparieren repariert repariert | repair repairing repaired
paint-coat: streichen streicht gestrichen | paint painting painted
paint-art: malen malt gemalt | paint painting painted
build: bauen baut gebaut | build building built
put-up: auf+bauen baut aufgebaut | put putting put up
water: gießen gießt gegossen | water watering watered
pick: pflücken pflückt gepflückt | pick picking picked
plant: pflanzen pflanzt gepflanzt | plant planting planted
chase: jagen jagt gejagt | chase chasing chased
catch: fangen fängt gefangen | catch catching caught
throw: werfen wirft geworfen | throw throwing thrown
kick: schießen schießt geschossen | kick kicking kicked
score: schießen schießt geschossen | score scoring scored
pull: ziehen zieht gezogen | pull pulling pulled
push: schieben schiebt geschoben | push pushing pushed
pick-up: auf+heben hebt aufgehoben | pick picking picked up
open: öffnen öffnet geöffnet | open opening opened
open-umbrella: auf+spannen spannt aufgespannt | open opening opened
unwrap: aus+packen packt ausgepackt | unwrap unwrapping unwrapped
put-on: an+ziehen zieht angezogen | put putting put on
take-off: aus+ziehen zieht ausgezogen | take taking taken off
set-on: auf+setzen setzt aufgesetzt | put putting put on
turn-on: an+machen macht angemacht | turn turning turned on
put-stand: stellen stellt gestellt | put putting put
put-lay: legen legt gelegt | put putting put
put-hang: auf+hängen hängt aufgehängt | hang hanging hung
hang-on: hängen hängt gehängt | hang hanging hung
view: betrachten betrachtet betrachtet | look looking looked
look-at: an+sehen sieht angesehen | look looking looked
photograph: fotografieren fotografiert fotografiert | photograph photographing photographed
film: filmen filmt gefilmt | film filming filmed
draw: zeichnen zeichnet gezeichnet | draw drawing drawn
brush: striegeln striegelt gestriegelt | brush brushing brushed
stroke: streicheln streichelt gestreichelt | pet petting petted
feed: füttern füttert gefüttert | feed feeding fed
hug: umarmen umarmt umarmt | hug hugging hugged
lead: führen führt geführt | walk walking walked
play: spielen spielt gespielt | play playing played
watch: zu+sehen sieht zugesehen | watch watching watched
listen: zu+hören hört zugehört | listen listening listened
wave: zu+winken winkt zugewinkt | wave waving waved
help: helfen hilft geholfen | help helping helped
follow: ist folgen folgt gefolgt | follow following followed
run-after: ist hinterher+laufen läuft hinterhergelaufen | run running run
run-away: ist weg+laufen läuft weggelaufen | run running run away
throw-to: zu+werfen wirft zugeworfen | throw throwing thrown
give: geben gibt gegeben | give giving given
show: zeigen zeigt gezeigt | show showing shown
hand: reichen reicht gereicht | hand handing handed
bring: bringen bringt gebracht | bring bringing brought
tell: erzählen erzählt erzählt | tell telling told
explain: erklären erklärt erklärt | explain explaining explained
sell: verkaufen verkauft verkauft | sell selling sold
buy: kaufen kauft gekauft | buy buying bought
search: suchen sucht gesucht | look looking looked
sniff: schnuppern schnuppert geschnuppert | sniff sniffing sniffed
skate: ist laufen läuft gelaufen | ice-skate ice-skating ice-skated
ski: ist fahren fährt gefahren | ski skiing skied
train: trainieren trainiert trainiert | train training trained
shop: ein+kaufen kauft eingekauft | shop shopping shopped
get-on: ist ein+steigen steigt eingestiegen | get getting gotten
get-off: ist aus+steigen steigt ausgestiegen | get getting gotten
arrive: ist an+kommen kommt angekommen | arrive arriving arrived
depart: ist ab+fahren fährt abgefahren | leave leaving left
halt: halten hält gehalten | stop stopping stopped
mow: mähen mäht gemäht | mow mowing mowed
land: ist landen landet gelandet | land landing landed
see: sehen sieht gesehen | see seeing seen
notice: bemerken bemerkt bemerkt | notice noticing noticed
""")
