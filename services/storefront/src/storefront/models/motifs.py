"""Which words in the name of a product stand for which motif of `static/motifs.svg`."""

import re
import unicodedata
from collections.abc import Iterator, Mapping

__all__ = ["BY_CATEGORY", "FALLBACK", "LONGEST", "PHRASES", "words_of"]

FALLBACK = "parcel"

BY_CATEGORY: Mapping[str, str] = {
    "bath-and-body": "soap",
    "coffee-and-tea": "mug",
    "desk-and-paper": "pencil",
    "garden": "plant",
    "home-audio": "radio",
    "kitchen": "pot",
    "knitwear": "jumper",
    "lighting": "bulb",
    "outdoor": "tent",
    "tools": "hammer",
    "toys-and-games": "blocks",
    "travel-bags": "holdall",
}

TABLE = """
soap: soap
shampoo-bar: shampoo bar
soap-dish: soap dish
jar: jar, salt pig, preserving jars, scrub, bath salts, crème, cream jar
towel: towel, bath sheet
shaving-brush: shaving brush
bottle: aftershave, shampoo, beard oil, oil, bottle, feed
tube: hand cream, foot balm, cream, toothpaste
scrub-brush: scrubber, nail brush, record brush
tin: balm, lip balm, tin
mat: mat
robe: bathrobe, robe
razor: razor
toothbrush: toothbrush

beans: beans, roast, coffee, decaf, espresso
dripper: pour-over, dripper, filters
teacup: breakfast tea, rooibos, cup, teacup
tea-tin: tea, pekoe, pearls, oolong
moka: moka, moka pot
kettle: kettle
grinder: grinder
french-press: french press
teapot: teapot
jug: jug
gourd: gourd, maté
mug: mug
flask: flask, cold brew bottle, thermos
matcha: matcha

book: logbook, notebook, carnet, sketchbook, book
bookends: bookends
pencil: pencil
pen: pen
ink: ink, blotter
envelope: envelopes, notecards, card, letter
ruler: ruler, gauge
tape: tape
calendar: calendar
tray: tray, tidy
stamp: stamp
magnifier: magnifier, viewer
knife: knife, whetstone
paper-knife: paper knife

fork: fork
can: watering can
seeds: seed, seeds
secateurs: secateurs, shears
plant: plant, terracotta, flower pot
twine: twine, thread, needles, rope, knot-tying
planter: raised bed, cold frame
sack: grit, compost, soil
spade: spade, trowel, shovel
feeder: bird feeder
glove: gloves, gauntlets
ladder: ladder
thermometer: thermometer
trellis: climbing frame, trellis, netting
boot: boot, boot scraper

speaker: speaker, speakers, subwoofer
portable: portable speaker
turntable: turntable
radio: radio
headphones: headphones
amp: amplifier, preamp
receiver: streamer, receiver
cable: cable
record: record, record crate, record box
clock: clock
earphones: earphones
cassette: cassette
panel: acoustic panel

pan: skillet, pan, frying pan
bowl: bowl, plate, dish, dishes
board: board, chopping board, mandoline
pot: pot, casserole, fish kettle, jam pan
brush: brush
blender: blender
scale: scale
rolling-pin: rolling pin
bread: bread, proving basket
mill: peppermill, mill

jumper: jumper, guernsey, crew neck, pullover
jumper-stripes: breton jumper, child's jumper, seagull jumper
jumper-zip: sweater, half-zip
cardigan: cardigan
vest: vest
beanie: cap, watch cap, balaclava
bobble: hat, bobble hat
scarf: scarf, wrap, warmer
mitten: mitts, mittens
socks: socks
blanket: blanket, throw, rug

bulkhead: wall lamp
desk-lamp: desk lamp, reading light
lantern: lantern
shade: shade, lampshade
pendant: pendant
bulb: bulb
buoy: buoy
string-lights: string lights
floor-lamp: floor lamp
table-lamp: lamp
candles: candles
porthole: ceiling light, porthole
head-torch: torch
picture-light: picture light, strip

tent: tent, windbreak
stove: stove, burner, firesteel
bucket: bucket, sand moulds
binoculars: binoculars
hammock: hammock
compass: compass
sleeping-bag: sleeping bag
poles: poles
souwester: sou'wester
ring: swim float
dry-bag: dry bag

hammer: hammer
saw: saw
screwdriver: screwdriver, tool roll
plane: plane
chisel: chisels, iron
tape-measure: tape measure
level: spirit level
wrench: wrench, spanner
drill: drill
pliers: pliers
screws: screws, nails
clamp: clamp
vice: vice

boat: tugboat, boat
game: board game, dice
jigsaw: jigsaw, puzzle
whistle: whistle
seal: plush, seal
diabolo: diabolo
periscope: periscope
marbles: marbles
lighthouse: lighthouse
kite: kite
domino: dominoes
fish: fishing
sloop: sloop, model kit, ship
dolls: dolls, puppets
chess: chess
cards: card game
blocks: blocks, building planks

duffel: duffel, kitbag
holdall: weekender, holdall, packing cubes
rucksack: rucksack, pack, backpack
passport: wallet, passport
washbag: washbag, etui, pouch
trolley: trolley, suitcase
tote: tote, shoe bags
pannier: pannier
net-bag: net, mussel bag
tag: luggage tags, plant labels, tag
pillow: pillow
briefcase: briefcase, garment folder
lunch: lunch
"""
"""Each line has a motif, and the words or groups of words that stand for it."""


def words_of(text: str) -> tuple[str, ...]:
    """Returns the words without case, accents, apostrophes and the plural's s, so that Crèmes matches crème."""
    plain = unicodedata.normalize("NFKD", text.casefold()).replace("'", "").replace("’", "")
    words = re.findall(r"[^\W_]+", "".join(each for each in plain if not unicodedata.combining(each)))
    return tuple(word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word for word in words)


def _rows() -> Iterator[tuple[tuple[str, ...], str]]:
    for line in filter(None, TABLE.splitlines()):
        motif, _, phrases = line.partition(": ")
        for phrase in phrases.split(", "):
            yield words_of(phrase), motif


PHRASES: Mapping[tuple[str, ...], str] = dict(_rows())
"""Motifs by the words that stand for them."""

LONGEST = max(map(len, PHRASES))
"""Words of the longest group."""
