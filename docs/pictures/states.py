#!/usr/bin/env python3
"""Writes the pictures of docs/protocol.md: the segment's map and the state machines, each with who makes each step.

    python3 docs/pictures/states.py docs/pictures
"""
import html
import math
import os
import sys

COLOURS = {"client": "#8bd5a0", "host": "#e5b567", "system": "#86b5f0", "dim": "#7d8799"}
SPOKEN = {"client": "a client", "host": "the host", "system": "the operating system"}
TEXT, CARD, BOX = "#d5dae3", "#1b1f27", "#2a303c"
STYLE = 'font-size="13" font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace"'


class Picture:
    """A card of its own colour, so that it reads the same on white and on dark."""

    def __init__(self, title, width, height, actors):
        self.title, self.width, self.height, self.parts = title, width, height, []
        x = 20
        for actor in actors:
            self.line([(x, height - 16), (x + 26, height - 16)], actor)
            self.text(x + 34, height - 12, SPOKEN[actor], "dim", "start")
            x += 60 + 8 * len(SPOKEN[actor])

    def text(self, x, y, words, colour=None, anchor="middle"):
        fill = COLOURS.get(colour, TEXT)
        for i, line in enumerate(words.split("\n")):
            self.parts.append(f'<text x="{x}" y="{y + 16 * i}" fill="{fill}" text-anchor="{anchor}">'
                              f'{html.escape(line)}</text>')

    def box(self, x, y, name, what="", width=130, height=48, colour="dim"):
        """A state, around its middle."""
        self.parts.append(f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" height="{height}" '
                          f'rx="7" fill="{BOX}" stroke="{COLOURS[colour]}"/>')
        if what:
            self.text(x, y - 3, name)
            self.text(x, y + 14, what, "dim")
        else:
            self.text(x, y + 4, name)

    def line(self, points, actor):
        """A step from the first point to the last, with a head."""
        path = " ".join(f"{x},{y}" for x, y in points)
        (x0, y0), (x1, y1) = points[-2:]
        angle = math.atan2(y1 - y0, x1 - x0)
        head = " ".join(f"{x1 - 8 * math.cos(angle + turn):.1f},{y1 - 8 * math.sin(angle + turn):.1f}"
                        for turn in (-0.4, 0.4))
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[actor]}" stroke-width="1.5"/>'
                          f'<polygon points="{x1},{y1} {head}" fill="{COLOURS[actor]}"/>')

    def step(self, points, actor, words, x, y, anchor="middle"):
        self.line(points, actor)
        self.text(x, y, words, actor, anchor)

    def write(self, folder, name):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" {STYLE}>\n'
                       f'<title>{html.escape(self.title)}</title>\n'
                       f'<rect width="{self.width}" height="{self.height}" rx="8" fill="{CARD}"/>\n')
            file.write("\n".join(self.parts) + "\n</svg>\n")


def segment(folder):
    p = Picture("The segment", 800, 250, [])
    for x, width, name, what in ((20, 170, "classic block", "45,056 bytes"), (190, 110, "hub", "4,096"),
                                 (300, 200, "client records", "n_clients x client_size"),
                                 (500, 280, "streams", "n_streams x stream_size")):
        p.box(x + width / 2, 64, name, what, width - 4, 52)
    for x, words in ((22, "0"), (192, "45056"), (302, "clients_offset"), (502, "streams_offset")):
        p.text(x, 28, words, "dim", "start")
    p.text(20, 142, "one stream:", "dim", "start")
    p.parts.append(f'<path d="M502 92 L122 150 M600 92 L778 150" stroke="{COLOURS["dim"]}" stroke-dasharray="3 4"/>')
    for x, width, name, what in ((120, 130, "header", "512 bytes"), (250, 180, "request area", "request_size"),
                                 (430, 180, "response log", "log_size"),
                                 (610, 170, "token index", "16 x index_length")):
        p.box(x + width / 2, 200, name, what, width - 4, 52)
    for x, words in ((122, "0"), (252, "request_offset"), (432, "log_offset"), (612, "index_offset")):
        p.text(x, 168, words, "dim", "start")
    p.write(folder, "segment.svg")


def client_record(folder):
    p = Picture("The claim of a client record", 800, 230, ["client", "host"])
    for x, name, what in ((85, "FREE", "g, pid 0"), (285, "ATTACHING", "g, pid"), (500, "ATTACHED", "g, pid"),
                          (715, "LEAVING", "g, pid")):
        p.box(x, 50, name, what)
    p.box(500, 160, "FREE", "g + 1, pid 0")
    p.step([(150, 50), (220, 50)], "client", "CAS", 184, 42)
    p.step([(350, 50), (435, 50)], "client", "writes,\nCAS", 392, 26)
    p.step([(565, 50), (650, 50)], "client", "CAS", 606, 42)
    p.step([(285, 74), (285, 160), (435, 160)], "host", "its process\nhas ended", 275, 118, "end")
    p.step([(500, 74), (500, 136)], "host", "its process\nhas ended", 490, 102, "end")
    p.step([(715, 74), (715, 160), (565, 160)], "host", "has freed\nits streams", 705, 108, "end")
    p.write(folder, "client-record.svg")


def stream_claim(folder):
    p = Picture("The claim of a stream", 800, 370, ["client", "host"])
    p.box(85, 60, "FREE", "g")
    p.box(300, 60, "CLAIMED", "owner, g")
    p.box(545, 60, "SUBMITTED", "owner, g")
    p.box(715, 180, "DETACHED", "nobody, g", 120)
    p.box(420, 180, "RELEASED", "owner, g")
    p.box(420, 300, "FREE", "g + 1")
    p.step([(150, 52), (235, 52)], "client", "CAS", 192, 42)
    p.box(190, 180, "OFFERED", "owner, g", 110)
    p.step([(85, 84), (85, 180), (135, 180)], "host", "for a reservation", 75, 130, "end")
    p.step([(215, 156), (280, 84)], "client", "granted", 238, 128, "end")
    p.step([(365, 60), (480, 60)], "client", "the request\nstands", 422, 28)
    p.step([(320, 84), (385, 156)], "client", "not\nneeded", 366, 108, "start")
    p.step([(525, 84), (460, 156)], "client", "closed", 483, 112, "end")
    p.step([(545, 84), (480, 156)], "host", "owner gone", 530, 146, "start")
    p.step([(610, 44), (728, 44), (728, 156)], "client", "lets go", 668, 36)
    p.step([(610, 58), (708, 58), (708, 156)], "host", "owner gone,\ndetachable", 700, 84, "end")
    p.step([(655, 180), (575, 84)], "client", "attaches", 640, 188, "end")
    p.step([(420, 204), (420, 276)], "host", "work stopped, nobody watches;\nor the place is needed", 430, 232, "start")
    p.step([(715, 204), (715, 300), (485, 300)], "host", "ended, and the\nplace is needed", 600, 318)
    p.step([(270, 84), (270, 300), (355, 300)], "host", "owner gone", 262, 250, "end")
    p.write(folder, "stream-claim.svg")


def stream_status(folder):
    p = Picture("The status of a stream, within one generation", 800, 270, ["host", "system"])
    for x, name, what in ((80, "not seen yet", "another's, or 0"), (255, "QUEUED", "queue_position"),
                          (425, "READING", "n_prompt_done"), (585, "GENERATING", "published"),
                          (730, "ENDED", "end, error")):
        p.box(x, 60, name, what, 120 if x != 80 else 135)
    p.step([(148, 60), (195, 60)], "host", "sees it", 171, 30)
    p.step([(315, 60), (365, 60)], "host", "its turn", 340, 30)
    p.step([(485, 60), (525, 60)], "host", "1st token", 505, 30)
    p.step([(645, 60), (670, 60)], "host", "end", 657, 30)
    p.step([(255, 84), (255, 160), (745, 160), (745, 84)], "host", "refused, cancelled, host ends", 400, 152)
    p.step([(425, 84), (425, 120), (715, 120), (715, 84)], "host", "cancelled, failed, host ends", 570, 112)
    p.box(505, 195, "RECOVERING", "published", 130)
    p.step([(410, 84), (410, 195), (440, 195)], "system", "worker dies", 400, 200, "end")
    p.step([(570, 195), (600, 195), (600, 84)], "host", "next token", 610, 200, "start")
    p.write(folder, "stream-status.svg")


def reservation(folder):
    p = Picture("The reservation of a client", 800, 200, ["client", "host"])
    p.box(90, 80, "NONE", "")
    p.box(400, 80, "WAITING", "ticket", 140)
    p.box(700, 80, "GRANTED", "ticket, stream", 140)
    p.step([(155, 66), (330, 66)], "client", "no stream is free:\ntakes a ticket, stores", 242, 32)
    p.step([(330, 92), (155, 92)], "client", "withdraws (CAS)", 242, 110)
    p.step([(470, 80), (630, 80)], "host", "has claimed a stream\nfor it (CAS)", 550, 48)
    p.step([(700, 104), (700, 145), (90, 145), (90, 104)], "client", "takes the stream, stores", 480, 138)
    p.write(folder, "reservation.svg")


def doorbell(folder):
    p = Picture("The armed word of a doorbell", 800, 240, ["client", "host"])
    p.parts[-4:] = []
    p.text(20, 228, "green: who sleeps     amber: who rings     blue: the kernel", "dim", "start")
    p.box(120, 60, "armed = 0", "nobody sleeps", 170)
    p.box(420, 60, "armed = (r, wanted)", "r: the rings it saw", 190)
    p.box(690, 60, "armed = (r, wanted)", "rings = r + 1", 190)
    p.box(420, 170, "asleep", "while rings = r", 150)
    p.step([(205, 60), (325, 60)], "client", "arms (CAS),\nfence, looks", 265, 30)
    p.step([(515, 60), (595, 60)], "host", "rings,\nif wanted", 555, 30)
    p.step([(390, 84), (390, 146)], "client", "nothing\nnew: sleeps", 380, 112, "end")
    p.step([(690, 84), (690, 170), (495, 170)], "system", "FUTEX_WAKE", 600, 162)
    p.step([(450, 146), (450, 84)], "client", "awake: arms again", 460, 124, "start")
    p.step([(690, 36), (690, 14), (120, 14), (120, 36)], "host", "afterwards takes back what it read (CAS)", 400, 10)
    p.write(folder, "doorbell.svg")


def host_state(folder):
    p = Picture("The state of the host", 800, 220, ["host", "system"])
    p.parts[-2:] = []
    p.line([(150, 204), (176, 204)], "system")
    p.text(184, 208, "the end of the process, whatever the reason", "dim", "start")
    for x, name, what in ((85, "0", "magic 0"), (245, "STARTING", "attach"), (405, "LOADING", "load_per_mille"),
                          (565, "READY", "serves"), (725, "ENDING", "takes no more")):
        p.box(x, 50, name, what, 116)
    p.box(405, 150, "no owner of the lock", "claims mean nothing", 210, 48, "system")
    p.step([(143, 50), (187, 50)], "host", "hub written", 165, 18)
    p.line([(303, 50), (347, 50)], "host")
    p.line([(463, 50), (507, 50)], "host")
    p.step([(623, 50), (667, 50)], "host", "shutdown", 645, 18)
    p.step([(545, 26), (545, 14), (425, 14), (425, 26)], "host", "another model", 485, 10)
    for x in (245, 405, 565):
        p.line([(x, 74), (405 + (x - 405) / 2.5, 126)], "system")
    p.box(605, 150, "RECOVERING", "as LOADING", 116)
    p.line([(725, 74), (725, 192), (405, 192), (405, 174)], "system")
    p.step([(585, 74), (585, 126)], "host", "its worker died", 578, 108, "end")
    p.step([(612, 126), (612, 74)], "host", "loaded again", 619, 108, "start")
    p.step([(300, 150), (85, 150), (85, 74)], "host", "a successor adopts it:\nepoch + 1", 95, 112, "start")
    p.write(folder, "host-state.svg")


def main():
    folder = sys.argv[1]
    for draw in (segment, client_record, stream_claim, stream_status, reservation, doorbell, host_state):
        draw(folder)


if __name__ == "__main__":
    main()
