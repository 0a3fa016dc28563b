/** What the frame says, in its languages. A table of its own: the site's messages would weigh more than all the rest of it. */
import type { PauseCause } from '../../../sdk/types.ts'
import type { WidgetState } from '../wire.ts'

export interface Words {
  readonly title: string
  readonly ask: string
  readonly privacy: string
  readonly give: string
  readonly again: string
  readonly confirmTitle: string
  readonly confirm: string
  readonly yes: string
  readonly no: string
  readonly power: string
  readonly pause: string
  readonly goOn: string
  readonly stop: string
  readonly back: string
  readonly forget: string
  readonly forgotten: string
  readonly about: string
  readonly what: string
  readonly kept: string
  readonly operator: string
  readonly broken: string
  readonly alone: string
  readonly unknown: string
  readonly insecure: string
  readonly unloaded: string
  /** Why it is paused. */
  readonly pauses: Readonly<Record<'visitor' | 'site' | Exclude<PauseCause['by'], 'person'>, string>>
  readonly most: string
  readonly bytes: string
  readonly left: string
  readonly states: Readonly<Record<WidgetState, readonly [title: string, reason: string]>>
}

const en: Words = {
  title: 'Lend this tab to “{project}”?',
  ask: 'While this page is open, this tab then computes small parts of AI answers: first for “{project}”, then for others. That takes power, data and up to 1 GB of memory. You can stop it whenever you like.',
  privacy: 'It can’t see this page or your files. Computers that it works with see your network address.',
  give: 'Lend this tab',
  again: 'That was too quick to be sure, or something covers this. Look, point at the button for a moment, and click again.',
  confirmTitle: 'Start now?',
  confirm: 'This tab will compute for “{project}” until you stop it or leave the page.',
  yes: 'Yes, start',
  no: 'Not now',
  power: 'Power',
  pause: 'Pause',
  goOn: 'Go on',
  stop: 'Stop',
  back: 'Lend it again',
  forget: 'Remove what it stored',
  forgotten: 'All that was stored here is removed.',
  about: 'What is this?',
  what: 'Manyhands joins idle browser tabs into one computer that answers AI requests. A tab holds a part of a model, and numbers pass through it.',
  kept: 'Your browser keeps the model’s part and a random key, for this site only, so that the next visit downloads nothing. Nothing starts by itself, then either.',
  operator: 'Run by {server}. What you do on this page is not recorded.',
  broken: 'This site embeds the widget in a way in which it can’t work: the frame needs sandbox="allow-scripts allow-same-origin".',
  alone: 'This is a part of other sites’ pages, and does nothing by itself.',
  unknown: 'There is no such project here, or its key was revoked.',
  insecure: 'This page is not served over https, so the browser allows no computing here.',
  unloaded: 'It could not be loaded. Check the connection and try again.',
  pauses: {
    visitor: 'You paused it.',
    site: 'This site paused it.',
    battery: 'This device runs on its battery. It goes on when it is plugged in.',
    'save-data': 'This browser is set to save data. It goes on when that is off.',
    pressure: 'This device is busy. It goes on when it has been calm for a minute.',
    hidden: 'Another tab or window is in front. It goes on when this one is.',
  },
  most: '{value}; this site allows {most} at most',
  bytes: '{done} of {total} MB.',
  left: 'About {seconds} s left.',
  states: {
    opening: ['Loading', 'The widget is loading.'],
    blocked: ['Not shown', 'The widget can’t be shown here.'],
    unable: ['Can’t run here', 'The widget can’t work on this page.'],
    off: ['Not lent', 'Waits for the visitor.'],
    asking: ['Start now?', 'The visitor is asked to confirm.'],
    elsewhere: ['Already lent', 'Another tab or part of this site computes already. This one takes over when that ends.'],
    starting: ['Getting ready', 'Fetches and checks its part of a model.'],
    waiting: ['Ready', 'Waiting to be given work.'],
    giving: ['Lent: thank you!', 'Computes its part whenever somebody asks.'],
    paused: ['Paused', 'Nothing is computed.'],
    stopped: ['Stopped: thank you!', 'Nothing computes here any more.'],
    failed: ['Something went wrong', 'It could not go on.'],
  },
}

const de: Words = {
  title: 'Diesen Tab an „{project}“ verleihen?',
  ask: 'Solange diese Seite offen ist, rechnet dieser Tab dann kleine Teile von KI-Antworten: zuerst für „{project}“, dann für andere. Das braucht Strom, Daten und bis zu 1 GB Arbeitsspeicher. Aufhören geht jederzeit.',
  privacy: 'Er sieht weder diese Seite noch Ihre Dateien. Rechner, mit denen er arbeitet, sehen Ihre Netzwerkadresse.',
  give: 'Diesen Tab verleihen',
  again:
    'Das ging zu schnell, um sicher zu sein, oder etwas verdeckt dies. Bitte hinsehen, kurz auf den Knopf zeigen und noch einmal klicken.',
  confirmTitle: 'Jetzt anfangen?',
  confirm: 'Dieser Tab rechnet dann für „{project}“, bis Sie ihn anhalten oder die Seite verlassen.',
  yes: 'Ja, anfangen',
  no: 'Jetzt nicht',
  power: 'Leistung',
  pause: 'Pause',
  goOn: 'Weiter',
  stop: 'Aufhören',
  back: 'Wieder verleihen',
  forget: 'Gespeichertes entfernen',
  forgotten: 'Alles, was hier gespeichert war, ist entfernt.',
  about: 'Was ist das?',
  what: 'Manyhands macht aus untätigen Browser-Tabs einen Rechner, der KI-Anfragen beantwortet. Ein Tab hält einen Teil eines Modells, und Zahlen gehen hindurch.',
  kept: 'Ihr Browser behält den Teil des Modells und einen zufälligen Schlüssel, nur für diese Seite, damit der nächste Besuch nichts mehr lädt. Von selbst beginnt auch dann nichts.',
  operator: 'Betrieben von {server}. Was Sie auf dieser Seite tun, wird nicht aufgezeichnet.',
  broken:
    'Diese Seite bettet das Widget so ein, dass es nicht arbeiten kann: Der Rahmen braucht sandbox="allow-scripts allow-same-origin".',
  alone: 'Dies ist ein Teil anderer Seiten und tut für sich nichts.',
  unknown: 'Dieses Projekt gibt es hier nicht, oder sein Schlüssel wurde widerrufen.',
  insecure: 'Diese Seite kommt nicht über https, deshalb lässt der Browser hier nichts rechnen.',
  unloaded: 'Es konnte nicht geladen werden. Bitte die Verbindung prüfen und noch einmal versuchen.',
  pauses: {
    visitor: 'Von Ihnen angehalten.',
    site: 'Von dieser Seite angehalten.',
    battery: 'Dieses Gerät läuft mit Akku. Es geht weiter, wenn es am Netz hängt.',
    'save-data': 'Dieser Browser soll Daten sparen. Es geht weiter, wenn das aus ist.',
    pressure: 'Dieses Gerät ist beschäftigt. Es geht weiter, wenn es eine Minute lang ruhig war.',
    hidden: 'Ein anderer Tab oder ein anderes Fenster ist vorn. Es geht weiter, wenn dieser es ist.',
  },
  most: '{value}; diese Seite erlaubt höchstens {most}',
  bytes: '{done} von {total} MB.',
  left: 'Noch etwa {seconds} s.',
  states: {
    opening: ['Lädt', 'Das Widget lädt.'],
    blocked: ['Nicht gezeigt', 'Das Widget kann hier nicht gezeigt werden.'],
    unable: ['Geht hier nicht', 'Das Widget kann auf dieser Seite nicht arbeiten.'],
    off: ['Nicht verliehen', 'Wartet auf die Besucherin oder den Besucher.'],
    asking: ['Jetzt anfangen?', 'Wartet auf die Bestätigung.'],
    elsewhere: ['Schon verliehen', 'Ein anderer Tab oder Teil dieser Seite rechnet schon. Dieser übernimmt, wenn jener endet.'],
    starting: ['Macht sich bereit', 'Lädt und prüft seinen Teil eines Modells.'],
    waiting: ['Bereit', 'Wartet auf Arbeit.'],
    giving: ['Verliehen: danke!', 'Rechnet seinen Teil, wann immer jemand fragt.'],
    paused: ['Pause', 'Es wird nichts gerechnet.'],
    stopped: ['Beendet: danke!', 'Hier rechnet nichts mehr.'],
    failed: ['Etwas ging schief', 'Es konnte nicht weitergehen.'],
  },
}

const languages: Readonly<Record<string, Words>> = { en, de }

/** The first of these tags that there are words for; else English. */
export function pickWords(...tags: readonly string[]): { readonly lang: string; readonly words: Words } {
  for (const tag of tags) {
    const key = tag.toLowerCase().split('-', 1)[0] ?? ''
    const words = languages[key]
    if (words) return { lang: key, words }
  }
  return { lang: 'en', words: en }
}

export const fill = (text: string, values: Readonly<Record<string, string>>): string =>
  text.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole)
