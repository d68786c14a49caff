package specimen

import (
	"fmt"
	"strings"
	"time"
)

func list(s string) []string { return strings.Split(s, "|") }

func oneOf(words string) func(*maker) string {
	w := list(words)
	return func(m *maker) string { return pick(m, w) }
}

func some(names string) []string { return strings.Fields(names) }

var (
	firmFirst  = list("Northwind|Bluefin|Apex|Granite|Solstice|Harbour|Meridian|Copper Hill|Redwood|Falcon")
	firmSecond = list("Traders|Logistics|Systems|Foods|Energy|Textiles|Partners")
	firmEnds   = list("Ltd|Inc|GmbH|SA|BV|AB")
	goodFirst  = list("Steel|Wooden|Folding|Compact|Heavy|Classic|Slim|Cotton|Solar|Ceramic|Rapid|Silent")
	goodSecond = list("Bottle|Lamp|Chair|Kettle|Backpack|Mat|Table|Drill|Blanket|Clock|Mug|Shelf|Fan")
	goodEnds   = list("| XL| Pro| 2| Mini")
)

// harmless are kinds of data that are nobody's, some of which look as if they were.
var harmless = append(append(labels, numbers...), texts...)

var labels = []kind{
	{name: "status", oid: oidText, names: some("status state email_status order_state payment_status"), make: oneOf("open|paid|shipped|returned|cancelled")},
	{name: "mail_state", oid: oidText, names: some("email_state last_email_status mail_result"), make: oneOf("sent|bounced|queued|opened|clicked")},
	{name: "phone_model", oid: oidText, names: some("phone_model handset device_model"), make: oneOf("Pixel 8|Galaxy S23|Moto G|Xperia 5|Nokia 105|iPhone 14")},
	{name: "card_type", oid: oidText, names: some("card_type card_brand payment_method"), make: oneOf("visa|mastercard|amex|sepa|paypal")},
	{name: "address_type", oid: oidText, names: some("address_type address_kind"), make: oneOf("billing|shipping|home|office")},
	{name: "currency", oid: oidText, names: some("currency currency_code"), make: oneOf("EUR|USD|SEK|PLN|GBP|CZK")},
	{name: "locale", oid: oidText, names: some("locale language lang_code"), make: oneOf("de-DE|en-US|pt-BR|nl|sv-SE|fr")},
	{name: "timezone", oid: oidText, names: some("timezone tz"), make: oneOf("Europe/Berlin|America/Lima|Asia/Tokyo|Africa/Lagos|UTC")},
	{name: "department", oid: oidText, names: some("department team_name unit"), make: oneOf("Sales|Finance|Engineering|Legal|Facilities|Support")},
	{name: "job_title", oid: oidText, names: some("job_title position role_name"), make: oneOf("Senior Engineer|Account Manager|Data Analyst|Head of Sales|Office Clerk|Nurse")},
	{name: "category", oid: oidText, names: some("category product_type genre"), make: oneOf("Garden Tools|Office Chairs|Rain Coats|Board Games|Desk Lamps|Running Shoes")},
	{name: "colour", oid: oidText, names: some("color colour_name"), make: oneOf("red|Dark Blue|olive|Light Grey|teal")},
	{name: "hexcolour", oid: oidText, names: some("hex_color theme_color"), things: true, make: func(m *maker) string { return "#" + m.hex(6) }},
	{name: "company", oid: oidText, names: some("company_name supplier_name manufacturer"), things: true, make: func(m *maker) string {
		return pick(m, firmFirst) + " " +
			pick(m, firmSecond) + " " + pick(m, firmEnds)
	}},
	{name: "product", oid: oidText, names: some("name title product_name item_name"), things: true, make: func(m *maker) string {
		return pick(m, goodFirst) + " " +
			pick(m, goodSecond) + pick(m, goodEnds)
	}},
	{name: "plan", oid: oidText, names: some("plan_name tier"), make: oneOf("Free|Team|Business|Enterprise Plus")},
	{name: "event", oid: oidText, names: some("event_name action"), make: oneOf("user.login|order.created|invoice.paid|cart.updated|page_view")},
	{name: "mime", oid: oidText, names: some("content_type mime_type"), make: oneOf("text/html|image/png|application/json|video/mp4")},
	{name: "tag", oid: oidTexts, names: some("tags labels"), make: func(m *maker) string { return "{" + m.lower(5) + "," + m.lower(4) + "}" }},
	{name: "bool", oid: oidBool, names: some("email_verified is_active has_phone password_reset_required"), make: oneOf("t|f")},
	{name: "permission", oid: oidText, names: some("permission scope_name"), make: oneOf("orders:read|orders:write|billing:admin|users:list")},
	{name: "currency_name", oid: oidText, names: some("currency_name instrument"), things: true, make: oneOf("Swiss Franc|Norwegian Krone|Japanese Yen|Pound Sterling|Indian Rupee")},
	{name: "animal", oid: oidText, names: some("breed species"), things: true, make: oneOf("Border Collie|Maine Coon|Basset Hound|Holstein|Merino Sheep|Grey Heron")},
	{name: "country", oid: oidText, names: some("country country_name origin market"), make: oneOf("Germany|France|Jordan|Chad|Georgia|Cuba|Israel|Kenya|Oman|India|Malta|Peru|Togo|Japan|Brazil|Norway|Poland|Chile|Ghana|Nepal")},
	{name: "month", oid: oidText, names: some("month_name season weekday_name"), make: oneOf("January|April|May|June|July|August|October|Monday|Sunday|Friday|Summer|Autumn")},
	{name: "brand", oid: oidText, names: some("brand maker label_name"), things: true, make: oneOf("Siemens|Philips|Ford|Honda|Ferrari|Dyson|Bosch|Nestle|Ikea|Kellogg|Lenovo|Toyota|Nike|Braun|Miele")},
	{name: "plant", oid: oidText, names: some("plant_name seed_type"), things: true, make: oneOf("White Oak|Red Maple|Rose Campion|Lavender|Norway Spruce|Lily|Jasmine|Violet|Ivy|Holly|Silver Birch|Daisy")},
	{name: "town", oid: oidText, names: some("depot_town branch_city store_town"), things: true, make: oneOf("Lincoln|Austin|Houston|Paris|Florence|Sydney|Berlin|Krakow|Uppsala|Porto|Utrecht|Izmir|Oulu|Cluj|Szeged|Dallas|Madison|Preston")},
	{name: "course", oid: oidText, names: some("course_name module_title"), things: true, make: oneOf("Organic Chemistry|Modern History|Linear Algebra|Music Theory|Creative Writing|World Literature|Human Anatomy|Civil Law|Statistics")},
	{name: "drug", oid: oidText, names: some("drug_name substance"), things: true, make: oneOf("Ibuprofen|Paracetamol|Metformin|Amoxicillin|Ramipril|Simvastatin|Omeprazole|Insulin|Heparin|Warfarin")},
	{name: "station", oid: oidText, names: some("station_name stop"), things: true, make: oneOf("Central Station|Market Square|Castle Hill|Victoria Park|King Street|Harbour Bridge|Old Mill|North Gate|University|Airport")},
	{name: "dish", oid: oidText, names: some("dish menu_item"), things: true, make: oneOf("Lentil Soup|Caesar Salad|Pad Thai|Beef Stew|Apple Strudel|Miso Ramen|Paella")},
}

var numbers = []kind{
	{name: "id", oid: oidInt8, names: some("id order_id customer_id parent_id"), make: func(m *maker) string { return fmt.Sprint(1 + m.r.IntN(9_000_000)) }},
	{name: "quantity", oid: oidInt4, names: some("quantity stock email_count token_count login_attempts"), make: func(m *maker) string { return fmt.Sprint(m.r.IntN(500)) }},
	{name: "amount", oid: oidNumeric, names: some("amount unit_price total tax_amount"), make: func(m *maker) string { return fmt.Sprintf("%d.%s", m.r.IntN(5000), m.digits(2)) }},
	{name: "snowflake", oid: oidInt8, names: some("message_id event_id"), make: func(m *maker) string { return "1" + m.digits(17) }},
	{name: "order_number", oid: oidText, names: some("order_number invoice_no reference"), make: func(m *maker) string { return "4" + m.digits(15) }},
	{name: "invoice", oid: oidText, names: some("invoice_number document_no"), make: func(m *maker) string { return fmt.Sprintf("INV-%d-%s", 2019+m.r.IntN(6), m.digits(6)) }},
	{name: "ean", oid: oidText, names: some("ean barcode gtin"), things: true, make: func(m *maker) string { return m.ean("40" + m.digits(10)) }},
	{name: "isbn", oid: oidText, names: some("isbn book_code"), things: true, make: func(m *maker) string { return m.ean("978" + m.digits(9)) }},
	{name: "epoch", oid: oidInt8, names: some("ts updated_ms"), make: func(m *maker) string { return "17" + m.digits(11) }},
	{name: "epoch_text", oid: oidText, names: some("seen_ms clock"), make: func(m *maker) string { return "17" + m.digits(11) }},
	{name: "sku", oid: oidText, names: some("sku item_code part_number"), things: true, make: func(m *maker) string { return m.upper(2) + "-" + m.digits(4) + "-" + pick(m, list("S|M|L|XL")) }},
	{name: "tracking", oid: oidText, names: some("tracking_number parcel_no"), make: func(m *maker) string { return "1Z" + m.upper(3) + m.digits(13) }},
	{name: "version", oid: oidText, names: some("version app_version"), make: func(m *maker) string {
		return fmt.Sprintf("%d.%d.%d.%d", 1+m.r.IntN(9), m.r.IntN(30), m.r.IntN(40), m.r.IntN(60))
	}},
	{name: "semver", oid: oidText, names: some("release min_version"), make: func(m *maker) string { return fmt.Sprintf("v%d.%d.%d", m.r.IntN(9), m.r.IntN(30), m.r.IntN(40)) }},
	{name: "date", oid: oidDate, names: some("ship_date due_date valid_from"), make: (*maker).recent},
	{name: "date_text", oid: oidText, names: some("period_end delivered_on"), make: (*maker).recent},
	{name: "time", oid: oidTime, names: some("created_at email_verified_at last_login_at"), make: func(m *maker) string { return m.recent() + " 10:" + fmt.Sprint(10+m.r.IntN(49)) + ":00+00" }},
	{name: "time_text", oid: oidText, names: some("logged_at processed"), make: func(m *maker) string { return m.recent() + "T10:" + fmt.Sprint(10+m.r.IntN(49)) + ":31Z" }},
	{name: "uuid", oid: oidUUID, names: some("id request_id"), make: (*maker).uuid},
	{name: "uuid_text", oid: oidText, names: some("correlation_id external_ref"), make: (*maker).uuid},
	{name: "percent", oid: oidFloat8, names: some("ratio score discount_rate"), make: func(m *maker) string { return fmt.Sprintf("%.3f", m.r.Float64()) }},
	{name: "digits8", oid: oidText, names: some("batch_no ticket"), make: func(m *maker) string { return m.digits(8) }},
	{name: "digits9", oid: oidText, names: some("serial_no asset"), make: func(m *maker) string { return m.digits(9) }},
	{name: "digits10", oid: oidText, names: some("case_no docket"), make: func(m *maker) string { return m.digits(10) }},
	{name: "digits11", oid: oidText, names: some("waybill consignment"), make: func(m *maker) string { return m.digits(11) }},
	{name: "dashed", oid: oidText, names: some("bin shelf_code"), things: true, make: func(m *maker) string { return m.digits(3) + "-" + m.digits(4) }},
}

var texts = []kind{
	{name: "sha256", oid: oidText, names: some("checksum etag content_hash"), make: func(m *maker) string { return m.hex(64) }},
	{name: "md5", oid: oidText, names: some("file_hash digest_md5"), things: true, make: func(m *maker) string { return m.hex(32) }},
	{name: "slug", oid: oidText, names: some("slug path_segment"), make: func(m *maker) string { return m.lower(5) + "-" + m.lower(6) + "-" + m.digits(2) }},
	{name: "url", oid: oidText, names: some("image_url website link"), things: true, make: func(m *maker) string {
		return fmt.Sprintf("https://cdn.%s/img/%s@2x.png?v=%d", pick(m, m.set.domains), m.lower(7), m.r.IntN(90))
	}},
	{name: "path", oid: oidText, names: some("file_path object_key"), make: func(m *maker) string {
		return "/var/data/" + m.lower(4) + "/" + m.digits(4) + "/" + m.lower(6) + ".csv"
	}},
	{name: "host", oid: oidText, names: some("hostname node"), things: true, make: func(m *maker) string { return fmt.Sprintf("web-%d.%s.internal", m.r.IntN(90), m.lower(4)) }},
	{name: "agent_plain", oid: oidText, names: some("browser client_build"), make: func(m *maker) string { return fmt.Sprintf("Firefox/%d.0 Gecko", 90+m.r.IntN(40)) }},
	{name: "template", oid: oidText, names: some("email_template sms_template_key"), things: true, make: oneOf("welcome_v2|reset_v1|invoice_v4|reminder")},
	{name: "prose", oid: oidText, names: some("description summary body"), things: true, make: (*maker).sentence},
	{name: "prose_numbers", oid: oidText, names: some("log_line message"), make: func(m *maker) string {
		return fmt.Sprintf("%s (ticket %d, %d items, took %dms)", pick(m, m.set.prose), m.r.IntN(90000), m.r.IntN(9), m.r.IntN(900))
	}},
	{name: "error", oid: oidText, names: some("error_text stack_line"), make: func(m *maker) string {
		return fmt.Sprintf("at %s.handle(%s.go:%d) code=%d", m.lower(6), m.lower(5), m.r.IntN(900), m.r.IntN(600))
	}},
	{name: "json_settings", oid: oidJSONB, names: some("settings options features"), make: func(m *maker) string {
		return fmt.Sprintf(`{"%s":%d,"dark":%t,"size":"%s"}`, m.set.keys[0][1], m.r.IntN(90), m.r.IntN(2) == 0, pick(m, list("s|m|l")))
	}},
	{name: "json_metrics", oid: oidJSON, names: some("metrics stats_doc"), make: func(m *maker) string {
		return fmt.Sprintf(`{"at":"%sT10:00:00Z","%s":[%d,%d],"id":"%s"}`, m.recent(), m.set.keys[1][1], m.r.IntN(90), m.r.IntN(90), m.uuid())
	}},
	{name: "ints", oid: 1007, names: some("scores bucket_counts"), make: func(m *maker) string { return fmt.Sprintf("{%d,%d}", m.r.IntN(90), m.r.IntN(90)) }},
	{name: "cron", oid: oidText, names: some("schedule cron_expr"), things: true, make: func(m *maker) string { return fmt.Sprintf("%d %d * * 1", m.r.IntN(60), m.r.IntN(24)) }},
	{name: "size", oid: oidText, names: some("dimensions box_size"), things: true, make: func(m *maker) string { return fmt.Sprintf("%dx%dx%d cm", m.r.IntN(90), m.r.IntN(90), m.r.IntN(90)) }},
}

func (m *maker) recent() string {
	return time.Date(2021, 1, 1+m.r.IntN(1600), 0, 0, 0, 0, time.UTC).Format("2006-01-02")
}

// ean completes twelve digits with the check digit of a barcode.
func (m *maker) ean(s string) string {
	sum := 0
	for i := range s {
		sum += int(s[i]-'0') * (1 + i%2*2)
	}
	return s + fmt.Sprint((10-sum%10)%10)
}
