//! Secrets by example.

use tidegate_perfmon::mask;

#[test]
fn secrets_are_taken_out_and_the_rest_stays() {
    for (text, expected) in [
        ("Authorization: Bearer abc.def-123 x", "Authorization: ****"),
        ("sent 'bearer  abc', got 401", "sent 'bearer  ****', got 401"),
        ("header Basic QWxhZGRpbjpvcGVu, next", "header Basic ****, next"),
        ("?auth=Bearer%20abc&x=1", "?auth=****&x=1"),
        ("/Bearer%20abc&x=1", "/Bearer%20****&x=1"),
        ("GET /login?user=ada&password=hunter2&next=/home", "GET /login?user=ada&password=****&next=/home"),
        (r#"{"user":"ada","password":"hun\"ter2","id":5}"#, r#"{"user":"ada","password":"****","id":5}"#),
        (r#""{\"api_key\":\"a\\\"b\",\"id\":5}""#, r#""{\"api_key\":\"****\",\"id\":5}""#),
        (r#"{"tokens":["a","b"],"refresh_token":["a"]}"#, r#"{"tokens":****"#),
        (r#"{"tokens":[1,2],"refresh_token":["a"]}"#, r#"{"tokens":[1,2],"refresh_token":****"#),
        ("ALTER USER ada PASSWORD 'it''s secret' VALID", "ALTER USER ada PASSWORD '****' VALID"),
        ("psql --password hunter2 -h db", "psql --password **** -h db"),
        ("DB_PASSWORD=hunter2 HOST=db", "DB_PASSWORD=**** HOST=db"),
        ("x-api-key: abc\nhost: db", "x-api-key: ****\nhost: db"),
        ("Cookie: a=b; sid=c\nHost: x", "Cookie: ****\nHost: x"),
        ("Cookie: theme=\"dark\"; sid=\"c\"\nHost: x", "Cookie: ****\nHost: x"),
        ("Authorization: Digest username=\"ada\", response=\"66\"", "Authorization: ****"),
        ("curl -H \"Cookie: sid=c\" example.org", "curl -H \"Cookie: ****\" example.org"),
        (r#"curl -H "Cookie: a=\"b\"; sid=c" example.org"#, r#"curl -H "Cookie: ****" example.org"#),
        (r#"sh -c "curl -H \"Cookie: a=b; sid=c\" example.org""#, r#"sh -c "curl -H \"Cookie: ****\" example.org""#),
        ("Set-Cookie: sid=c; Path=/\r\nHost: x", "Set-Cookie: ****\r\nHost: x"),
        ("form[password]=abc&x=1", "form[password]=****&x=1"),
        ("u=http%3A%2F%2Fx%3Ftoken%3Dabc&x=1", "u=http%3A%2F%2Fx%3Ftoken%3D****&x=1"),
        ("Secret { client_secret: \"cut", "Secret { client_secret: \"****"),
        ("client_secret => 'x', a => 'b'", "client_secret => '****', a => 'b'"),
        ("mail to ada.b+c@mail.example.org.", "mail to ****."),
        ("to=ada%40example.org&x=1", "to=****&x=1"),
        ("müller@straße.de wrote", "**** wrote"),
        ("paid with 4111 1111 1111 1111 123", "paid with **** 123"),
        ("card 5500-0055-5555-5559, due 12/29", "card ****, due 12/29"),
        ("378282246310005", "****"),
        ("/pay/4111%201111%201111%201111?x=1", "/pay/****?x=1"),
        ("card=4111+1111+1111+1111&x=1", "card=****&x=1"),
        ("card:%204111111111111111", "card:%20****"),
        ("DB_PASS=hunter2 HOST=db", "DB_PASS=**** HOST=db"),
        ("/blob?sv=1&sig=abc%2Fdef&x=1", "/blob?sv=1&sig=****&x=1"),
        ("user.jwt: abc, otp=123456, x-pin: 1234", "user.jwt: ****, otp=****, x-pin: ****"),
        ("?key=AIzaSyA0123456789 was used", "?key=**** was used"),
        ("sent ApiKey abc-123, got 401", "sent ApiKey ****, got 401"),
        ("key tk_0123456789abcdef was used", "key **** was used"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln_-x end", "jwt **** end"),
        ("postgres://ada:p@ss@db:5432/x?a=b", "postgres://****@db:5432/x?a=b"),
        ("redis://:hun/ter2@db:6379/0", "redis://****@db:6379/0"),
        ("redis://:hunter", "redis://****"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- ok", "**** ok"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "****"),
    ] {
        assert_eq!(mask(text), expected);
        assert_eq!(mask(expected), expected, "masked again");
    }
}

#[test]
fn names_schemes_and_hooks_show_what_is_secret_behind_them() {
    for (text, expected) in [
        ("p%61ssword=hunter2&x=1", "p%61ssword=****&x=1"),
        ("%70%61%73%73word%3Dhunter2", "%70%61%73%73word%3D****"),
        ("p%2561ssword%253Dhunter2", "p%2561ssword%253D****"),
        ("%7B%22password%22%3A%22a%20b%22%7D", "%7B%22password%22%3A%22****%22%7D"),
        (r"a=b\u0026p\u0061ssword=hunter2", r"a=b\u0026p\u0061ssword=****"),
        ("m%C3%BCller%40stra%C3%9Fe.de&x=1", "****&x=1"),
        ("postgres%3A%2F%2Fada%3Ahunter2%40db%2Fx", "postgres%3A%2F%2F****%40db%2Fx"),
        ("/Token%209f86d081884c7d65", "/Token%20****"),
        ("sent Token 9f86d081884c7d65, got 401", "sent Token ****, got 401"),
        ("sent OAuth abcdefghijklmnopqrstuvwxyz", "sent OAuth ****"),
        ("DPoP abc", "DPoP ****"),
        ("/geocode?key=abcdef&x=1", "/geocode?key=****&x=1"),
        ("maps.key=abcdef", "maps.key=****"),
        ("AccountKey=abc+/def==;Endpoint=x", "AccountKey=****;Endpoint=x"),
        ("signing_key=abcdef", "signing_key=****"),
        ("api key: 9f86d081884c7d659a2f", "api key: ****"),
        (r#"{"key":"9f86d081884c7d659a2f"}"#, r#"{"key":"****"}"#),
        ("?auth=abcdef&x=1", "?auth=****&x=1"),
        ("smtp_auth=abcdef", "smtp_auth=****"),
        ("curl --auth hunter2 x", "curl --auth **** x"),
        ("?oauth_code=abcdef&x=1", "?oauth_code=****&x=1"),
        ("authCode=abcdef", "authCode=****"),
        ("verification_code: 123456", "verification_code: ****"),
        ("/callback?code=4/0AX4XfWhq1b2c3d4e5f6&state=1", "/callback?code=****&state=1"),
        ("/callback?code=4%2F0AX4XfWhq1b2c3d4e5f6&state=1", "/callback?code=****&state=1"),
        ("tokens=abcdef", "tokens=****"),
        (r#"{"tokens":"abcdef"}"#, r#"{"tokens":"****"}"#),
        ("sessions: abcdef", "sessions: ****"),
        ("PHPSESSID=abcdef; sid=abcdef", "PHPSESSID=****; sid=****"),
        ("bearer=abcdef csrf=abcdef", "bearer=**** csrf=****"),
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX", "https://hooks.slack.com/****"),
        ("/services/T00000000/B00000000/XXXXXXXX x", "/services/T**** x"),
        ("/services%2FT00000000%2FB00000000%2FXXXXXXXX", "/services%2FT****"),
        ("https://discord.com/api/webhooks/123456789/abc-DEF_ghi", "https://discord.com/api/webhooks/****"),
        ("https://api.telegram.org/bot123456:ABC-DEF1234/sendMessage", "https://api.telegram.org/bot****"),
    ] {
        assert_eq!(mask(text), expected);
        assert_eq!(mask(expected), expected, "masked again");
    }
}

#[test]
fn secrets_in_lists_statements_and_tags_do_not_show() {
    for (text, expected) in [
        ("/x?access_token[]=abc&x=1", "/x?access_token[]=****&x=1"),
        ("/x?access_token%5B%5D=abc&x=1", "/x?access_token%5B%5D=****&x=1"),
        ("/x?token[0]=abc&x=1", "/x?token[0]=****&x=1"),
        ("user[token][a]=abc", "user[token][a]=****"),
        ("env['token'][\"a\"] = abc", "env['token'][\"a\"] = ****"),
        ("/bearer%0aabc", "/bearer%0a****"),
        ("bearer%0D%0A%09abc&x=1", "bearer%0D%0A%09****&x=1"),
        ("Basic YTpi", "Basic ****"),
        ("basic qwrtzpsdfgh", "basic ****"),
        ("Negotiate YIIZ+2AB/x", "Negotiate ****"),
        ("ALTER USER ada PASSWORD E'it\\'s' VALID", "ALTER USER ada PASSWORD ****' VALID"),
        ("ALTER USER ada PASSWORD U&'\\0061' VALID", "ALTER USER ada PASSWORD ****' VALID"),
        ("ALTER USER ada PASSWORD $$it's$$ VALID", "ALTER USER ada PASSWORD $$****$$ VALID"),
        ("ALTER USER ada PASSWORD $a$x$$y$a$ VALID", "ALTER USER ada PASSWORD $a$****$a$ VALID"),
        ("ALTER USER ada PASSWORD $$cut", "ALTER USER ada PASSWORD $$****"),
        ("{'token': b'abc', 'id': 5}", "{'token': ****', 'id': 5}"),
        ("ran 'token=b'", "ran 'token=****"),
        ("CREATE USER ada IDENTIFIED BY 'hunter2' x", "CREATE USER ada IDENTIFIED BY '****' x"),
        ("create user ada identified with sha256 by 'hunter2'", "create user ada identified with sha256 by '****'"),
        ("<password>hunter 2</password><id>5</id>", "<password>****</password><id>5</id>"),
        ("<wsse:Password Type=\"a\">x</wsse:Password>", "<wsse:Password Type=\"a\">****</wsse:Password>"),
        ("<password><![CDATA[a<b]]></password>", "<password>****</password>"),
        ("<password>hunter 2", "<password>****"),
        ("%3Cpassword%3Eabc%3C/password%3E", "%3Cpassword%3E****%3C/password%3E"),
        ("paid with 4111/1111/1111/1111.", "paid with ****."),
        ("paid with 4111,1111,1111,1111, due 12/29", "paid with ****, due 12/29"),
        ("paid with 4111,1111,1111,1111,123", "paid with ****,123"),
        ("paid with 4111  1111  1111  1111  x", "paid with ****  x"),
        ("/pay/4111%2F1111%2F1111%2F1111", "/pay/****"),
        ("https://hooks.zapier.com/hooks/catch/123456/abcdef/", "https://hooks.zapier.com/hooks/****"),
        ("https://outlook.office.com/webhook/0193b2c4@8d3e/a", "https://outlook.office.com/webhook/****"),
        ("/services/TABCDEFGH/BABCDEFGH/abcdefghijklmnopqrstuvwx", "/services/T****"),
        // However short, and whatever word: under a name of its own.
        ("password: ok", "password: ****"),
        ("api_key: no, secret: a", "api_key: ****, secret: ****"),
        ("access_token: started", "access_token: ****"),
        ("token: abc, session: x, pass: qwe", "token: ****, session: ****, pass: ****"),
        ("Authorization: x", "Authorization: ****"),
        ("password='?', token=\"$1\"", "password='****', token=\"****\""),
    ] {
        assert_eq!(mask(text), expected);
        assert_eq!(mask(expected), expected, "masked again");
    }
}
